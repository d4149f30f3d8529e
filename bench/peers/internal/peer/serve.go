// Package peer has the common parts of the servers with which dotsd is
// compared: the address, the signals, the URL and the rooms. The rest of each
// server is done by its WebSocket library. So a comparison shows differences
// between the libraries and not between our own code.
package peer

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// MaxMessage is the size in bytes of the largest message that a server accepts.
// dotsd has the same limit.
const MaxMessage = 64 << 10

// IsHeartbeat reports whether a message is a heartbeat, which is not sent to
// members.
func IsHeartbeat(message []byte) bool { return string(message) == `"heartbeat"` }

// Listen parses the flags and listens on the address of --listen. It exits the
// process on an error.
func Listen() net.Listener {
	address := flag.String("listen", "127.0.0.1:8000", "address for clients, as host:port")
	flag.Parse()
	ln, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	return ln
}

// Mux returns a handler that calls handle for the path /ws/chat/ROOM/, with or
// without the last slash.
func Mux(handle func(room string, w http.ResponseWriter, r *http.Request)) *http.ServeMux {
	byRoom := func(w http.ResponseWriter, r *http.Request) { handle(r.PathValue("room"), w, r) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/chat/{room}/{$}", byRoom)
	mux.HandleFunc("GET /ws/chat/{room}", byRoom)
	return mux
}

// Serve serves HTTP requests with net/http until a signal ends the process.
func Serve(ln net.Listener, handler http.Handler) {
	go func() { log.Fatal(http.Serve(ln, handler)) }()
	Wait(ln.Addr())
}

// Wait prints that the server is ready, waits for SIGTERM or SIGINT, and exits
// with 0. It does not close the connections.
func Wait(address net.Addr) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready", address)
	<-signals
	os.Exit(0)
}
