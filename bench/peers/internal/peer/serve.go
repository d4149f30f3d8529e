// Package peer has the common parts of the servers of this module: the address,
// the signals, the URL and the rooms. The rest of each server is its library, so
// that a comparison shows the libraries and not our bookkeeping.
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

// MaxMessage is the largest message that a server accepts, in bytes: the same as
// that of dotsd.
const MaxMessage = 64 << 10

// IsHeartbeat reports whether a message is the sign of life that is not relayed.
func IsHeartbeat(message []byte) bool { return string(message) == `"heartbeat"` }

// Listen parses the command line and listens on --listen. Like Wait, and
// unlike the rest of this package, it exits the process on an error.
func Listen() net.Listener {
	address := flag.String("listen", "127.0.0.1:8000", "address for clients, as host:port")
	flag.Parse()
	ln, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	return ln
}

// Mux calls handle for /ws/chat/ROOM/, with or without the last slash.
func Mux(handle func(room string, w http.ResponseWriter, r *http.Request)) *http.ServeMux {
	byRoom := func(w http.ResponseWriter, r *http.Request) { handle(r.PathValue("room"), w, r) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/chat/{room}/{$}", byRoom)
	mux.HandleFunc("GET /ws/chat/{room}", byRoom)
	return mux
}

// Serve serves the handler by net/http until a signal ends the process.
func Serve(ln net.Listener, handler http.Handler) {
	go func() { log.Fatal(http.Serve(ln, handler)) }()
	Wait(ln.Addr())
}

// Wait prints that the server is ready, waits for SIGTERM or SIGINT, and exits
// with 0. It does not drain.
func Wait(address net.Addr) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready", address)
	<-signals
	os.Exit(0)
}
