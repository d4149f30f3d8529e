package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// secrets makes the keys of connections of version 2. A key is the id of its connection, encrypted so that only this node can read it
// (SIV, as in RFC 5297: the mask comes from a MAC of the id). So the node stores neither keys nor tags, and finds the connection of a
// key at once. The node's own key is random: after a restart old keys mean nothing here.
type secrets [32]byte

func newSecrets() (s secrets) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// of returns the key of a connection, which only its client gets, and the tag that other clients see.
func (s *secrets) of(id loop.ConnID) (key [12]byte, me uint64) {
	copy(key[:4], s.mac('i', binary.BigEndian.AppendUint64(nil, uint64(id))))
	binary.BigEndian.PutUint64(key[4:], uint64(id)^binary.BigEndian.Uint64(s.mac('m', key[:4])))
	return key, protocol.MeOf(key)
}

// open returns the connection with this key, if the key is one of this node.
func (s *secrets) open(key [12]byte) (id loop.ConnID, ok bool) {
	id = loop.ConnID(binary.BigEndian.Uint64(key[4:]) ^ binary.BigEndian.Uint64(s.mac('m', key[:4])))
	again, _ := s.of(id)
	return id, hmac.Equal(again[:], key[:])
}

func (s *secrets) mac(use byte, text []byte) []byte {
	h := hmac.New(sha256.New, s[:])
	_, _ = h.Write([]byte{use})
	_, _ = h.Write(text)
	return h.Sum(nil)
}

// fenceOf returns the fence of the connection that has this key, nil if key is not one.
func fenceOf(key string) *loop.Fence {
	k, ok := protocol.ParseKey16(key)
	if !ok {
		return nil
	}
	return &loop.Fence{Sender: protocol.MeOf(k), Value: k[:]}
}

// replaced closes the connection that has this key, if it is on this node. Any goroutine; it does not block.
func (s *Server) replaced(value []byte) {
	key, ok := [12]byte{}, len(value) == 12
	copy(key[:], value)
	id, here := s.secrets.open(key)
	if loops := s.node.Loops(); ok && here && id.Loop() < len(loops) {
		loops[id.Loop()].Call(func(l *loop.Loop) {
			if c := l.Conn(id); c != nil && c.Open() {
				c.Peer().(*session).end(protocol.CloseReplaced, "", loop.ReasonClosed)
			}
		})
	}
}
