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

// MayPass reports that an error of Connect may pass by itself: Redis is not there, cannot be reached, or is not yet what it will be.
// Every other one needs a hand: a login that is refused, a right that is missing, a certificate that nobody vouches for, nodes that
// differ (ErrDiffers). Of several errors at once, those of the sentinels for example, none may need a hand.
func MayPass(err error) bool {
	passes, mends := false, true
	var look func(error)
	look = func(err error) {
		if needsHand(err) {
			mends = false
			return
		}
		passes = passes || passing(err)
		switch e := err.(type) { //nolint:errorlint // this is how a tree of errors is walked, and errors.As sees only one branch
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

// needsHand and passing judge one error of a tree, without those in it.

//nolint:errorlint // see MayPass
func needsHand(err error) bool {
	switch e := err.(type) {
	case *tls.CertificateVerificationError, tls.RecordHeaderError:
		return true
	case *net.OpError: // what the other end says of our part of the handshake
		return e.Op == "remote error"
	case redis.Error:
		return !passingReply(e.Error())
	}
	return err == ErrDiffers || err == errReply
}

//nolint:errorlint // see MayPass
func passing(err error) bool {
	switch err.(type) {
	case net.Error, redis.Error: // DNS and system calls are among the first; of the second needsHand has taken its part
		return true
	}
	return slices.Contains([]error{io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, redis.ErrPoolTimeout, redis.ErrPoolExhausted}, err) ||
		err.Error() == "redis: cluster has no nodes" // go-redis does not export it
}

// passingWords begin the replies of a Redis that is there and cannot serve yet.
var passingWords = []string{
	"LOADING", "BUSY", "TRYAGAIN", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "NOREPLICAS", "MISCONF", "OOM",
}

// passingReply judges an error reply. A script of Redis 6 repeats the one that it met: "ERR Error running script (…): -READONLY You…".
func passingReply(text string) bool {
	if text == string(redis.Nil) { // sentinels that do not know the master: they may be set up later, as it may
		return true
	}
	text = strings.TrimPrefix(text, "ERR ")
	return strings.HasPrefix(text, "max number of clients reached") || slices.ContainsFunc(passingWords, func(word string) bool {
		return strings.HasPrefix(text, word+" ") || strings.HasPrefix(text, "Error running script") && strings.Contains(text, "-"+word+" ")
	})
}
