package server

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/mempool"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// The poller is the only code that uses nbio. There is one engine with one epoll loop for each loop.Loop; its goroutine is the
// loop's goroutine.
//
// The server must not let nbio v1.6.12 do the following; each case was tried and has a test:
//
//   - A stale epoll event of a closed descriptor closes the innocent new owner of the number. So a new connection is registered
//     only at the start of a turn (session.Open, called by the loop), and there is at most one turn in an epoll batch, because
//     the doorbell is reported once: a number that is freed in this batch is registered after the batch at the earliest. We close
//     the descriptor when nbio has finished with the connection (closeFiles); to end it, we shut it down.
//   - Conn.Write queues without a limit and copies everything, Writev loses data, and a flush that meets a reset closes the
//     socket before it was read. So nbio never gets anything to write. We call send(2) ourselves. Connections that wait for room
//     wait in an epoll of our own (writable.go).
//   - After a peer's FIN nbio closes right after OnRead. So code that stops reading early asks Finished first (loop/read.go).
//   - A panic in a callback kills the process. So each panic is recovered, and ends the connection with 1011.
type poller struct {
	srv    *Server
	loop   *loop.Loop
	engine *nbio.Engine

	started  bool
	first    sync.Once     // makes sure that awake is closed once
	awake    chan struct{} // closed by the first turn
	writable *writable
	bell     *nbio.Conn // the doorbell as a connection of nbio
	bellMu   sync.RWMutex
	closedMu sync.Mutex
	closed   []*session // sessions whose descriptors closeFiles will close; guarded by closedMu
	bellFile int        // the eventfd that ring writes to, -1 after stop; guarded by bellMu

	// Only the loop's goroutine uses these.
	decoder *protocol.Decoder
	heads   headReader
	control [2 + 125]byte // the control frame that is being sent
	answer  [512]byte     // the event or error that is being sent
	busy    time.Duration // when it last had something to do
	passed  time.Duration // when the goroutine last went through the scheduler
}

func newPoller(s *Server, l *loop.Loop) (*poller, error) {
	logging.SetLogger(&nbioLog{log: s.log})
	p := &poller{srv: s, loop: l, bellFile: -1, awake: make(chan struct{}), decoder: protocol.NewDecoder(protocol.MaxDepth)}
	p.engine = nbio.NewEngine(nbio.Config{
		Name:           fmt.Sprintf("loop %d", l.Index()),
		NPoller:        1,
		EpollMod:       nbio.EPOLLET,
		ReadBufferSize: 1, // never used: OnRead reads into the loop's buffer
		BodyAllocator:  mempool.NewSTD(),
	})
	l.SetHost(p)
	p.engine.OnRead(p.onRead)
	p.engine.OnClose(p.onClose)
	var err error
	if p.bellFile, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	if p.writable, err = newWritable(l); err != nil {
		return nil, errors.Join(err, unix.Close(p.bellFile))
	}
	p.bell = adoptFile(p.bellFile)
	return p, nil
}

func (p *poller) start() error {
	if err := p.engine.Start(); err != nil {
		return err
	}
	p.started = true
	if _, err := p.engine.AddConn(p.bell); err != nil {
		return err
	}
	if _, err := p.engine.AddConn(p.writable.nb); err != nil {
		return err
	}
	p.loop.Ring()
	<-p.awake // nbio ignores a Stop that comes before its goroutine runs
	return nil
}

// stop closes all connections of the loop. After that the loop is never called again.
func (p *poller) stop() {
	if p.bell == nil {
		return
	}
	if p.started {
		p.engine.Stop()
	}
	p.closeFiles() // no turn comes any more
	p.bell = nil
	p.writable.close()
	p.bellMu.Lock()
	defer p.bellMu.Unlock()
	_ = unix.Close(p.bellFile)
	p.bellFile = -1
}

// ring wakes the loop. Any goroutine; the loop makes sure that it is called at most once a turn. After stop it must not write,
// because the number may belong to another file by then.
func (p *poller) ring() {
	p.bellMu.RLock()
	defer p.bellMu.RUnlock()
	if p.bellFile < 0 {
		return
	}
	one := [8]byte{1}
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.bellFile), uintptr(unsafe.Pointer(&one)), 8)
}

// onRead is called for every event of a socket that is readable or whose peer is gone, and for the doorbell.
func (p *poller) onRead(nb *nbio.Conn) {
	switch nb {
	case p.bell:
		defer p.rescue(nil)
		p.first.Do(func() { close(p.awake) })
		now := p.srv.now()
		p.loop.Turn(now)
		p.closeFiles()
		p.srv.yield()
		p.pass(now)
		p.busy = p.srv.now()
		return
	case p.writable.nb:
		defer p.rescue(nil)
		p.writable.serve()
		return
	}
	s, ok := nb.Session().(*session)
	if !ok {
		return
	}
	defer p.rescue(s)
	now := p.srv.now()
	if now-p.busy > lull {
		p.loop.ReadableAlone(&s.Conn, now)
		p.srv.yield()
		p.pass(now)
		p.busy = p.srv.now()
		return
	}
	p.busy = now
	p.loop.Readable(&s.Conn, now)
	p.srv.yield()
}

// lull is longer than the handling of one event takes: if the last event was longer ago, the goroutine has waited for this event.
const lull = 20 * time.Microsecond

// passEvery is less than 10 ms, after which Go's monitor thread assumes that a goroutine never pauses.
const passEvery = 8 * time.Millisecond

// pass sends the goroutine through Go's scheduler from time to time. nbio waits in a raw system call, so the scheduler does not
// notice these waits: without pass, the monitor thread tries to interrupt the goroutine all the time. At 1,000 messages a
// second to rooms of 8, this took 38 of 133 ms of CPU time a second.
func (p *poller) pass(now time.Duration) {
	if now-p.passed >= passEvery {
		p.passed = now
		goyield()
	}
}

// onClose is called once for each opened connection, on a short-lived goroutine.
func (p *poller) onClose(nb *nbio.Conn, _ error) {
	s, ok := nb.Session().(*session)
	if !ok {
		return
	}
	p.closedMu.Lock()
	p.closed = append(p.closed, s)
	p.closedMu.Unlock()
	p.loop.Closed(&s.Conn)
}

// closeFiles closes the descriptors of connections that nbio has closed: nbio leaves that to us. It runs after the turn of the
// doorbell, which comes once in an epoll batch. The batch may still have an event of such a descriptor, and the event must not
// find a new connection under the number: the next turn of the doorbell registers it at the earliest.
func (p *poller) closeFiles() {
	p.closedMu.Lock()
	closed := p.closed
	p.closed = nil
	p.closedMu.Unlock()
	for _, s := range closed {
		s.close()
	}
}

// rescue recovers a panic, which is always a bug: it is counted and logged with an id, and the connection that was being served
// ends with 1011.
func (p *poller) rescue(s *session) {
	r := recover()
	if r == nil {
		return
	}
	p.srv.counts.panics.Add(1)
	id := fmt.Sprintf("%08x", uint32(time.Now().UnixNano()>>10))
	p.srv.log.Error("internal error", zap.String("id", id), zap.Any("panic", r), zap.Int("loop", p.loop.Index()), zap.Stack("stack"))
	if c := p.loop.Current(); s == nil && c != nil { // the panic came in a read that an earlier turn left over
		s = c.Peer().(*session)
		p.loop.Ring()
	}
	if s == nil {
		p.loop.Ring() // the turn was not finished: there may be work left
		return
	}
	defer func() {
		if recover() != nil {
			s.Shutdown()
		}
	}()
	s.end(protocol.CloseInternalError, id, loop.ReasonClosed)
}

// watched is a descriptor that nbio watches.
type watched = *nbio.Conn

// descriptorField is where an nbio connection keeps its descriptor.
var descriptorField = func() uintptr {
	f, ok := reflect.TypeFor[nbio.Conn]().FieldByName("fd")
	if !ok || f.Type.Kind() != reflect.Int {
		panic("nbio.Conn has no field fd of type int: this version of nbio needs another adoptFile")
	}
	return f.Offset
}()

// adoptFile makes an nbio connection of a descriptor; OnRead is called at each of its edges. nbio.NBConn would duplicate the
// descriptor and close the original, two system calls for each connection. nbio does not know what kind of connection it is, so it
// leaves closing to us, and it keeps no addresses.
func adoptFile(fd int) watched {
	nb := new(nbio.Conn)
	*(*int)(unsafe.Add(unsafe.Pointer(nb), descriptorField)) = fd
	return nb
}

// nbioLog passes nbio's warnings and errors on to the server's logger, which samples them, and drops nbio's other messages.
type nbioLog struct{ log *zap.Logger }

func (*nbioLog) SetLevel(int)         {}
func (*nbioLog) Debug(string, ...any) {}
func (*nbioLog) Info(string, ...any)  {}
func (n *nbioLog) Warn(format string, v ...any) {
	n.log.Warn("nbio", zap.String("text", fmt.Sprintf(format, v...)))
}
func (n *nbioLog) Error(format string, v ...any) {
	n.log.Error("nbio", zap.String("text", fmt.Sprintf(format, v...)))
}
