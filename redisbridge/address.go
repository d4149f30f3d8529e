package redisbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Address is the address of a Redis installation.
type Address struct {
	Kind               Kind
	Hosts              []string // host:port of the server, of the sentinels, or of some nodes of the Cluster
	Master             string   // the name of the master at the sentinels
	Username, Password string
	DB                 int
	TLS                *tls.Config // nil: no TLS

	SentinelUsername, SentinelPassword string // the login for the sentinels themselves
}

// Kind is the kind of a Redis installation.
type Kind uint8

// The kinds.
const (
	Standalone Kind = iota
	Sentinel
	Cluster
)

var errAddress = errors.New("write redis://[user:password@]host:port[/db], rediss:// for TLS, redis+sentinel://host:port,host:port/master[?sentinel_user=…&sentinel_password=…] or redis+cluster://host:port,host:port")

// ParseAddress reads one of these forms:
//
//	redis://[user:password@]host[:port][/db]                      rediss:// is the same over TLS
//	redis+sentinel://[user:password@]host:port,host:port/master   rediss+sentinel://
//	redis+cluster://[user:password@]host:port,host:port           rediss+cluster://
//
// The user and the password are those of Redis itself. If the sentinels have a password of their own, it is given in parameters
// after the master; sentinel_user may be left out:
//
//	redis+sentinel://…/master?sentinel_user=USER&sentinel_password=PASSWORD
//
// Users and passwords are percent-encoded, and a plus sign stands for itself. The characters / ? # and @ must be encoded;
// otherwise it is unclear where the password ends and the host begins. No error repeats any part of the address, because a
// password may be anywhere in it.
func ParseAddress(text string) (*Address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	secure, scheme := strings.HasPrefix(scheme, "rediss"), strings.Replace(scheme, "rediss", "redis", 1)
	kinds := map[string]Kind{"redis": Standalone, "redis+sentinel": Sentinel, "redis+cluster": Cluster}
	kind, known := kinds[scheme]
	if !found || !known {
		return nil, fmt.Errorf("this is not a Redis address; %w", errAddress)
	}
	a := &Address{Kind: kind}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if err := a.parseUser(rest[:i]); err != nil {
			return nil, err
		}
		rest = rest[i+1:]
	}
	rest, query, asked := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if err := a.parseHosts(hosts); err != nil {
		return nil, err
	}
	if err := a.parsePath(path); err != nil {
		return nil, err
	}
	if asked {
		if err := a.parseQuery(query); err != nil {
			return nil, err
		}
	}
	if secure {
		host, _, _ := net.SplitHostPort(a.Hosts[0])
		a.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if kind == Standalone {
			a.TLS.ServerName = host
		}
	}
	return a, nil
}

func (a *Address) parseUser(text string) (err error) {
	if strings.ContainsAny(text, "/?#@") {
		return fmt.Errorf("the user or the password contains one of / ? # @ that is not percent-encoded (%%2F, %%3F, %%23, %%40); %w", errAddress)
	}
	user, password, has := strings.Cut(text, ":")
	if !has {
		return fmt.Errorf("the user has no password (write user:password@, or :password@); %w", errAddress)
	}
	if a.Username, err = url.PathUnescape(user); err == nil {
		a.Password, err = url.PathUnescape(password)
	}
	if err != nil {
		return fmt.Errorf("the user or the password has a %% that is not followed by two hexadecimal digits; %w", errAddress)
	}
	return nil
}

func (a *Address) parseHosts(text string) error {
	all := strings.Split(text, ",")
	for i, host := range all {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), map[Kind]string{Standalone: "6379", Sentinel: "26379", Cluster: "6379"}[a.Kind])
		}
		name, port, _ := net.SplitHostPort(host)
		n, err := strconv.ParseUint(port, 10, 16)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return fmt.Errorf("the port of host %d of %d is above 65535; %w", i+1, len(all), errAddress)
		case name == "" || strings.ContainsAny(name, " ?#") || err != nil || n == 0:
			return fmt.Errorf("host %d of %d is not a host:port; %w", i+1, len(all), errAddress)
		}
		a.Hosts = append(a.Hosts, host)
	}
	if a.Kind == Standalone && len(a.Hosts) > 1 {
		return fmt.Errorf("several hosts are only allowed with redis+cluster:// or redis+sentinel://; %w", errAddress)
	}
	return nil
}

func (a *Address) parsePath(path string) (err error) {
	path, err = url.PathUnescape(strings.TrimSuffix(path, "/"))
	if err != nil || strings.ContainsAny(path, "?#") {
		return fmt.Errorf("the text after the hosts is not valid; %w", errAddress)
	}
	switch a.Kind {
	case Sentinel:
		if a.Master = path; path == "" {
			return fmt.Errorf("the name of the master is missing; %w", errAddress)
		}
	case Cluster:
		if path != "" {
			return fmt.Errorf("a Cluster has no numbered databases; %w", errAddress)
		}
	case Standalone:
		if path == "" {
			return nil
		}
		if a.DB, err = strconv.Atoi(path); err != nil || a.DB < 0 {
			return fmt.Errorf("the text after the host is not the number of a database; %w", errAddress)
		}
	}
	return nil
}

// parseQuery reads the parameters. It refuses unknown parameters: with a misspelt name the node would log in without its
// password.
func (a *Address) parseQuery(text string) (err error) {
	if a.Kind != Sentinel {
		return fmt.Errorf("parameters are only allowed with redis+sentinel://; %w", errAddress)
	}
	into := map[string]*string{"sentinel_user": &a.SentinelUsername, "sentinel_password": &a.SentinelPassword}
	for parameter := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		place, known := into[name]
		if !known {
			return fmt.Errorf("the only parameters are sentinel_user and sentinel_password; %w", errAddress)
		}
		if *place != "" {
			return fmt.Errorf("%s is given twice; %w", name, errAddress)
		}
		// url.QueryUnescape would turn a plus into a space.
		if *place, err = url.PathUnescape(value); err != nil || strings.Contains(value, "#") {
			return fmt.Errorf("%s is not correctly percent-encoded; %w", name, errAddress)
		}
		if value == "" {
			return fmt.Errorf("%s is empty; %w", name, errAddress)
		}
	}
	if a.SentinelPassword == "" {
		return fmt.Errorf("sentinel_user needs a sentinel_password; %w", errAddress)
	}
	return nil
}

// String returns the address without users and passwords.
func (a *Address) String() string {
	text := strings.Join(a.Hosts, ",")
	if a.Master != "" {
		text += "/" + a.Master
	}
	return text
}

// dial opens a connection to one of the servers.
func (a *Address) dial(ctx context.Context, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if a.TLS == nil {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	config := a.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", addr)
}
