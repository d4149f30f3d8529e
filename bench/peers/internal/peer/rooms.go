package peer

import "sync"

// Rooms has the members of each room. A publication walks a slice under the lock
// of its room, so rooms do not wait for each other, and all members of a room get
// the same messages in the same order. Joins and leaves are O(1). The zero value
// is ready for use, by any goroutine.
type Rooms[T any] struct {
	mu    sync.Mutex
	rooms map[string]*room[T] // guarded by mu
}

type room[T any] struct {
	name string

	mu    sync.Mutex
	seats []*Seat[T] // guarded by mu
}

// Seat is the membership of one connection.
type Seat[T any] struct {
	member T
	all    *Rooms[T]
	room   *room[T]
	at     int // index in room.seats, guarded by room.mu
}

// Join adds a member, and creates the room if necessary.
func (r *Rooms[T]) Join(name string, member T) *Seat[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.rooms[name]
	if in == nil {
		if r.rooms == nil {
			r.rooms = map[string]*room[T]{}
		}
		in = &room[T]{name: name}
		r.rooms[name] = in
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	s := &Seat[T]{member: member, all: r, room: in, at: len(in.seats)}
	in.seats = append(in.seats, s)
	return s
}

// Leave ends the membership; a second call does nothing. The room ends with its
// last member.
func (s *Seat[T]) Leave() {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.at < 0 {
		return
	}
	seats := s.room.seats
	last := len(seats) - 1
	seats[s.at] = seats[last]
	seats[s.at].at = s.at
	seats[last] = nil
	s.room.seats = seats[:last]
	s.at = -1
	if last == 0 {
		delete(s.all.rooms, s.room.name)
	}
}

// Room is the name of the room.
func (s *Seat[T]) Room() string { return s.room.name }

// Publish calls deliver for every member of the room, this one included.
// Deliver must not block, join or leave.
func (s *Seat[T]) Publish(deliver func(member T)) { s.room.publish(deliver) }

// Publish calls deliver for every member of a room, as Seat.Publish does. If the
// room does not exist, it does nothing.
func (r *Rooms[T]) Publish(name string, deliver func(member T)) {
	r.mu.Lock()
	to := r.rooms[name]
	r.mu.Unlock()
	if to != nil {
		to.publish(deliver)
	}
}

func (r *room[T]) publish(deliver func(member T)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seat := range r.seats {
		deliver(seat.member)
	}
}
