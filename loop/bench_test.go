package loop

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// BenchmarkJoinLeave lets a member of a room leave and join again, with 100,000 members in total. "loop" measures everything that
// the loop does, with its counters, its checks and the call of the session. "index" and "map" measure only the data structures:
// the index stored in the member, as the loop has it, and the obvious design, a map by connection id beside the slice.
func BenchmarkJoinLeave(b *testing.B) {
	for _, size := range []int{8, 1000, 100_000} {
		b.Run(fmt.Sprintf("loop/room=%d", size), func(b *testing.B) {
			l, conns := benchRooms(b, size, benchMembers)
			leaveAndEnter(b, func(i int) {
				c := &conns[i].Conn
				rm := c.member.room
				l.rooms.leave(c, ReasonLeft)
				l.rooms.join(&c.member, rm)
			})
		})
		b.Run(fmt.Sprintf("index/room=%d", size), func(b *testing.B) {
			_, conns := benchRooms(b, size, benchMembers)
			rooms, bytes := build(conns, size, func() *indexRoom { return &indexRoom{} })
			leaveAndEnter(b, func(i int) {
				rooms[i/size].leave(0, &conns[i].Conn)
				rooms[i/size].enter(0, &conns[i].Conn)
			})
			b.ReportMetric(bytes, "B/member")
		})
		b.Run(fmt.Sprintf("map/room=%d", size), func(b *testing.B) {
			_, conns := benchRooms(b, size, benchMembers)
			rooms, bytes := build(conns, size, func() *mapRoom { return &mapRoom{index: map[ConnID]int{}} })
			leaveAndEnter(b, func(i int) {
				rooms[i/size].leave(ConnID(i+1), &conns[i].Conn)
				rooms[i/size].enter(ConnID(i+1), &conns[i].Conn)
			})
			b.ReportMetric(bytes, "B/member")
		})
	}
}

func leaveAndEnter(b *testing.B, f func(i int)) {
	pick := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		f(pick.IntN(benchMembers))
	}
}

// benchRooms puts connections into rooms of a given size, without a bus.
func benchRooms(b *testing.B, size, total int) (l *Loop, conns []*fake) {
	r := newRig(b, nil)
	l = r.loop(0)
	for len(conns) < total {
		rm := &room{name: fmt.Sprintf("room %d", len(conns)), entry: &Entry{}}
		l.rooms.byName[rm.name] = rm
		for range size {
			f := &fake{null: true}
			f.Init(f)
			f.loop, f.state, f.flags = l, stateOpen, flagUpgraded
			l.rooms.join(&f.member, rm)
			conns = append(conns, f)
		}
	}
	return l, conns
}

const benchMembers = 100_000

type benchRoom interface {
	enter(ConnID, *Conn)
	leave(ConnID, *Conn)
}

// build fills rooms of a given size, and returns how many bytes of heap each member has taken.
func build[R benchRoom](conns []*fake, size int, empty func() R) (rooms []R, bytesPerMember float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i, c := range conns {
		if i%size == 0 {
			rooms = append(rooms, empty())
		}
		rooms[i/size].enter(ConnID(i+1), &c.Conn)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(conns)
	return rooms, (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(len(conns))
}

// indexRoom stores the index in the member, where it fills a gap that the compiler leaves anyway.
type indexRoom struct{ members []*Member }

func (r *indexRoom) enter(_ ConnID, c *Conn) {
	c.member.index = uint32(len(r.members))
	r.members = append(r.members, &c.member)
}

func (r *indexRoom) leave(_ ConnID, c *Conn) {
	i, last := c.member.index, len(r.members)-1
	r.members[i] = r.members[last]
	r.members[i].index = i
	r.members[last] = nil
	r.members = r.members[:last]
}

// mapRoom is the obvious design. Its slice needs the ids as well: when the last member moves into a gap, the map must be changed
// under that member's id.
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

func (r *mapRoom) leave(id ConnID, _ *Conn) {
	i, last := r.index[id], len(r.members)-1
	r.members[i] = r.members[last]
	r.index[r.members[i].id] = i
	r.members[last] = mapMember{}
	r.members = r.members[:last]
	delete(r.index, id)
}

// BenchmarkFanOut publishes to one room of null connections and runs the turns that the fan-out needs. The time per delivery is
// the cost of the core without the kernel.
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
					for l.Turn(r.now); l.fanout.dirty.len() > 0; {
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

// BenchmarkPublish measures the path of a message: through the embedded bus into the inboxes of the loops, and from there to one
// member of each loop.
func BenchmarkPublish(b *testing.B) {
	body := []byte(message(128))
	for _, loops := range []int{1, 2} {
		for _, v := range []Variant{0, 2} { // without and with ids
			b.Run(fmt.Sprintf("loops=%d/variant=%d", loops, v), func(b *testing.B) {
				r := newRig(b, func(c *Config) {
					c.Loops = loops
					c.Encodings[2] = encodingWithID()
				})
				for i := range loops {
					r.open(i, "room", v).null = true
				}
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					r.node.Publish("room", v, KindText, body)
					if n%32 == 31 {
						for _, l := range r.node.loops {
							l.Turn(r.now)
						}
					}
				}
			})
		}
	}
}

// encodingWithID makes frames of "SEQ", in 8 bytes, and the value.
func encodingWithID() Encoding {
	return Encoding{
		Append: func(dst []byte, p *Publication) ([]byte, int) {
			dst = binary.BigEndian.AppendUint16(dst, uint16(8+len(p.Value)))
			dst = binary.BigEndian.AppendUint64(dst, p.ID.Seq)
			return append(dst, p.Value...), len(dst)
		},
		Size:    func(p *Publication) int { return 10 + len(p.Value) },
		NeedsID: true,
		SetID:   func(frame []byte, p *Publication) { binary.BigEndian.PutUint64(frame[2:], p.ID.Seq) },
	}
}

// BenchmarkWheel has a million connections with a max_age of a minute.
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
				w.start(c, w.now+600) // a sign of life has come since the entry was made
			})
		}
		b.ReportMetric(float64(expired)/float64(b.N), "entries/op")
		b.ReportMetric(float64(b.Elapsed())/float64(expired), "ns/entry")
	})
}

// BenchmarkInbox posts from one goroutine, with one turn after every 256 posts.
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

// BenchmarkDeliver measures a bus that delivers batches of 32 publications of 100 bytes each, and a loop that fans them out to 10
// members.
func BenchmarkDeliver(b *testing.B) {
	r := newRig(b, func(c *Config) { c.RoomCredit = 1 << 30 })
	for _, f := range r.openAll(10, 0, "chat/a room") {
		f.null = true
	}
	value := []byte(message(100))
	dir, l := r.node.Directory(), r.loop(0)
	lane := dir.laneOf("chat/a room")
	pubs := make([]*Publication, 32)
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		for i := range pubs {
			pubs[i] = &Publication{Room: "chat/a room", Value: value}
		}
		n++
		Number(pubs, 7, n)
		dir.Deliver(lane, pubs)
		l.Turn(r.now)
	}
}

// BenchmarkMayParse measures MayParse, which a session calls before each frame: in a usual room, and in a room that has had a
// slow member.
func BenchmarkMayParse(b *testing.B) {
	for _, slow := range []bool{false, true} {
		b.Run(fmt.Sprintf("slow=%v", slow), func(b *testing.B) {
			r := newRig(b, nil)
			f := r.open(0, "room", 0)
			if slow {
				f.member.room.entry.flow.needPressure()
			}
			r.loop(0).reader.budget = 1
			for b.Loop() {
				if !f.MayParse() {
					b.Fatal("it may not")
				}
			}
		})
	}
}
