package main

import (
	"io"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dotsconnect/server"
)

// reloader reads the configuration again at each SIGHUP. The file may have changed, and the file with the admin token; flags and
// variables cannot. A mistake changes nothing, and neither it nor anything else here ends the process.
type reloader struct {
	args, env         []string
	askedLoops, loops int // the setting, and what serve made of it
	node              *server.Server
	log               *serverLog
}

// run serves signals until done is closed.
func (r *reloader) run(hups <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-hups:
			r.reload()
		}
	}
}

func (r *reloader) reload() {
	inv, err := parse(r.args, r.env, io.Discard, io.Discard)
	if err != nil {
		r.mistake(err)
		return
	}
	if inv.config.Loops == r.askedLoops {
		inv.config.Loops = r.loops
	}
	taken, restart, err := r.node.Reload(inv.config)
	if err != nil {
		r.mistake(err)
		return
	}
	if level, err := zapcore.ParseLevel(inv.config.LogLevel); err == nil { // Validate has looked at it
		r.log.level.SetLevel(level)
	}
	switch {
	case len(taken)+len(restart) == 0:
		r.log.Info("configuration read again: nothing has changed")
	case len(restart) == 0:
		r.log.Info("configuration read again", zap.Strings("taken", taken))
	default:
		r.log.Warn("configuration read again: some of it needs a restart", zap.Strings("taken", taken), zap.Strings("restart", restart))
	}
}

// mistake says what is wrong with the new configuration, one field for all of it.
func (r *reloader) mistake(err error) {
	var texts []string
	for _, e := range flatten(err) {
		texts = append(texts, e.Error())
	}
	r.log.Error("configuration read again: it has a mistake, and the old one stays", zap.String("mistake", strings.Join(texts, "; ")))
}
