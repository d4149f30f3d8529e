package loop

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// members makes connections in rooms of a size each, past the bus, in the order in which a server would.
func benchRooms(b *testing.B, size, total int) (l *Loop, conns []*fake, rooms []*room) {
	r := newRig(b, nil)
	l = r.loop(0)
	for len(conns) < total {
		rm := &room{name: fmt.Sprintf("room %d", len(rooms)), entry: &Entry{}}
		l.rooms[rm.name] = rm
		rooms = append(rooms, rm)
		for range size {
			f := &fake{null: true}
			f.Init(f)
			f.loop, f.state, f.flags = l, stateOpen, flagUpgraded|flagArmed
			l.enter(&f.Conn, rm)
			conns = append(conns, f)
		}
	}
	return l, conns, rooms
}

const benchMembers = 100_000

// BenchmarkJoinLeave has a member of a room leave and come back, in 100,000 members altogether: the index in the member
// against a map by connection id beside the slice. The map is given an advantage: it does nothing but keep the two, where
// the loop counts, checks and calls the session.
func BenchmarkJoinLeave(b *testing.B) {
	for _, size := range []int{8, 1000, 100_000} {
		b.Run(fmt.Sprintf("index/room=%d", size), func(b *testing.B) {
			l, conns, _ := benchRooms(b, size, benchMembers)
			pick := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				c := &conns[pick.IntN(len(conns))].Conn
				rm := c.member.room
				l.leave(c, WhyLeft)
				l.enter(c, rm)
			}
			b.ReportMetric(bytesPerMember(func() any { return indexRooms(conns, size) }), "B/member")
		})
		b.Run(fmt.Sprintf("map/room=%d", size), func(b *testing.B) {
			_, conns, _ := benchRooms(b, size, benchMembers)
			rooms := mapRooms(conns, size)
			pick := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				i := pick.IntN(len(conns))
				rooms[i/size].leave(ConnID(i + 1))
				rooms[i/size].enter(ConnID(i+1), &conns[i].Conn)
			}
			b.ReportMetric(bytesPerMember(func() any { return mapRooms(conns, size) }), "B/member")
		})
	}
}

// mapRoom is the obvious design.
type mapRoom struct {
	index   map[ConnID]int
	members []mapMember
}

type mapMember struct {
	id   ConnID
	conn *Conn
}

func (r *mapRoom) enter(id ConnID, c *Conn) {
	r.index[id] = len(r.members)
	r.members = append(r.members, mapMember{id, c})
}

func (r *mapRoom) leave(id ConnID) {
	i, last := r.index[id], len(r.members)-1
	r.members[i] = r.members[last]
	r.index[r.members[i].id] = i
	r.members[last] = mapMember{}
	r.members = r.members[:last]
	delete(r.index, id)
}

func mapRooms(conns []*fake, size int) (rooms []*mapRoom) {
	for i, c := range conns {
		if i%size == 0 {
			rooms = append(rooms, &mapRoom{index: map[ConnID]int{}})
		}
		rooms[i/size].enter(ConnID(i+1), &c.Conn)
	}
	return rooms
}

// indexRooms builds what the loop has beside the connections; the index itself stands in padding of the connection.
func indexRooms(conns []*fake, size int) (rooms []*room) {
	for i, c := range conns {
		if i%size == 0 {
			rooms = append(rooms, &room{})
		}
		r := rooms[i/size]
		r.members = append(r.members, &c.member)
	}
	return rooms
}

// bytesPerMember is what build leaves on the heap, for each of benchMembers.
func bytesPerMember(build func() any) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return float64(after.HeapAlloc-before.HeapAlloc) / benchMembers
}

// BenchmarkFanOut publishes to one room of null connections and runs the turns that it takes; the time per delivery is
// what the core costs without the kernel.
func BenchmarkFanOut(b *testing.B) {
	body := []byte(message(128))
	for _, batch := range []int{1, 8, 32} {
		for _, members := range []int{1, 10, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("batch=%d/members=%d", batch, members), func(b *testing.B) {
				r := newRig(b, nil)
				for range members {
					f := &fake{null: true}
					f.Init(f)
					r.loop(0).Adopt(&f.Conn)
					r.loop(0).Call(func(*Loop) { f.Join("room", 0) })
				}
				r.rest()
				l := r.loop(0)
				b.ReportAllocs()
				for b.Loop() {
					for range batch {
						r.node.Publish("room", 0, KindText, body)
					}
					for l.Turn(r.now); l.dirtyHead < len(l.dirty); {
						l.Turn(r.now)
					}
				}
				perDelivery(b, batch*members)
			})
		}
	}
}

func perDelivery(b *testing.B, deliveries int) {
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(deliveries), "ns/delivery")
}

// BenchmarkPublish is a message on its way through the embedded bus into the inboxes of the loops and out of them to one
// member each.
func BenchmarkPublish(b *testing.B) {
	body := []byte(message(128))
	for _, loops := range []int{1, 2} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.Loops = loops })
			for i := range loops {
				r.open(i, "room", 0).null = true
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				r.node.Publish("room", 0, KindText, body)
				if n%32 == 31 {
					for _, l := range r.node.loops {
						l.Turn(r.now)
					}
				}
			}
		})
	}
}

// BenchmarkWheel has a million connections with max_age of a minute.
func BenchmarkWheel(b *testing.B) {
	const entries = 1_000_000
	build := func() (*wheel, []Conn) {
		w, conns := &wheel{}, make([]Conn, entries)
		for i := range conns {
			w.start(&conns[i], uint32(1+i%600))
		}
		return w, conns
	}
	b.Run("start and stop", func(b *testing.B) {
		w, conns := build()
		pick := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		for b.Loop() {
			c := &conns[pick.IntN(entries)]
			w.stop(c)
			w.start(c, 700)
		}
	})
	b.Run("touch", func(b *testing.B) {
		_, conns := build()
		pick := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		for b.Loop() {
			conns[pick.IntN(entries)].Touch(time.Second)
		}
	})
	b.Run("advance a tick", func(b *testing.B) {
		w, _ := build()
		expired := 0
		b.ReportAllocs()
		for b.Loop() {
			w.advance(w.now+1, func(c *Conn) {
				expired++
				w.start(c, w.now+600) // touched meanwhile
			})
		}
		b.ReportMetric(float64(expired)/float64(b.N), "entries/op")
		b.ReportMetric(float64(b.Elapsed())/float64(expired), "ns/entry")
	})
}

// BenchmarkInbox posts from one goroutine, with a turn after each 256 posts.
func BenchmarkInbox(b *testing.B) {
	r := newRig(b, nil)
	l := r.loop(0)
	nothing := func(*Loop) {}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		l.Call(nothing)
		if n%256 == 255 {
			l.Turn(r.now)
		}
	}
}
