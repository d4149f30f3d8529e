package redisbridge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MayPass reports whether an error of Connect may pass by itself, because Redis is not there, cannot be reached, or is still
// starting. Every other error needs an operator: a refused login, a missing right, an untrusted certificate, nodes that differ
// (ErrDiffers). If the error combines several errors, for example from the sentinels, and one of these needs an operator,
// MayPass returns false.
func MayPass(err error) bool {
	passes, mends := false, true
	var look func(error)
	look = func(err error) {
		if needsHand(err) {
			mends = false
			return
		}
		passes = passes || passing(err)
		switch e := err.(type) { //nolint:errorlint // this is how to walk a tree of errors; errors.As sees only one branch
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				look(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				look(inner)
			}
		}
	}
	if err == nil {
		return false
	}
	look(err)
	return passes && mends
}

// needsHand and passing look at one error of a tree, without the errors inside it. needsHand reports whether an operator must
// act.

//nolint:errorlint // see MayPass
func needsHand(err error) bool {
	switch e := err.(type) {
	case *tls.CertificateVerificationError, tls.RecordHeaderError:
		return true
	case *net.OpError: // the server's error about the node's part of the TLS handshake
		return e.Op == "remote error"
	case redis.Error:
		return !passingReply(e.Error())
	}
	return err == ErrDiffers || err == errReply
}

//nolint:errorlint // see MayPass
func passing(err error) bool {
	switch err.(type) {
	case net.Error, redis.Error: // DNS and system calls give a net.Error; needsHand has refused the other redis.Errors
		return true
	}
	return slices.Contains([]error{io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, redis.ErrPoolTimeout, redis.ErrPoolExhausted}, err) ||
		err.Error() == "redis: cluster has no nodes" // go-redis does not export this error
}

// passingWords are the first words of error replies by which a Redis says that it cannot serve yet.
var passingWords = []string{
	"LOADING", "BUSY", "TRYAGAIN", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "NOREPLICAS", "MISCONF", "OOM",
}

// passingReply reports whether an error reply may pass by itself. In Redis 6 the error reply to a script contains the error of
// the command that failed in it: "ERR Error running script (…): -READONLY You…".
func passingReply(text string) bool {
	if text == string(redis.Nil) { // the sentinels do not know the master, which may be configured later
		return true
	}
	text = strings.TrimPrefix(text, "ERR ")
	return strings.HasPrefix(text, "max number of clients reached") || slices.ContainsFunc(passingWords, func(word string) bool {
		return strings.HasPrefix(text, word+" ") || strings.HasPrefix(text, "Error running script") && strings.Contains(text, "-"+word+" ")
	})
}
