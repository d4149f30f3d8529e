package peer

import "sync"

// Rooms has the members of all rooms. Each room has a lock and a slice of its
// members. A publication is delivered to the slice under this lock. So rooms do
// not wait for each other, and all members of a room get the same messages in
// the same order. Join and Leave are O(1). The zero value is ready for use; any
// goroutine may use it.
type Rooms[T any] struct {
	mu    sync.Mutex
	rooms map[string]*room[T] // guarded by mu
}

type room[T any] struct {
	name string

	mu    sync.Mutex
	seats []*Seat[T] // guarded by mu
}

// Seat is the membership of a connection in a room.
type Seat[T any] struct {
	member T
	all    *Rooms[T]
	room   *room[T]
	at     int // index in room.seats; -1: the member has left; guarded by room.mu
}

// Join adds a member to the room with this name, and creates the room if
// necessary.
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

// Leave removes the member from its room; a second call does nothing. A room
// without members is removed.
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

// Room returns the name of the room.
func (s *Seat[T]) Room() string { return s.room.name }

// Publish calls deliver for every member of the room, including the member that
// publishes. deliver must not block, and must not call Join or Leave.
func (s *Seat[T]) Publish(deliver func(member T)) { s.room.publish(deliver) }

// Publish calls deliver for every member of the room with this name, as
// Seat.Publish does. If there is no such room, it does nothing.
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
