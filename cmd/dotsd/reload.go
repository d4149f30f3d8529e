package main

import (
	"io"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dotsconnect/server"
)

// reloader reads the configuration again at each SIGHUP. Only the configuration file and the file with the admin token may have
// changed, because flags and variables cannot. If the new configuration has a mistake, the old one stays. A reload never ends the
// process.
type reloader struct {
	args, env         []string
	askedLoops, loops int // askedLoops: the value of the setting; loops: the number of loops that serve chose
	node              *server.Server
	log               *serverLog
}

// run handles the signals until done is closed.
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
	if level, err := zapcore.ParseLevel(inv.config.LogLevel); err == nil { // cannot fail: Validate has checked it
		r.log.level.SetLevel(level)
	}
	switch {
	case len(taken)+len(restart) == 0:
		r.log.Info("configuration read again: nothing has changed")
	case len(restart) == 0:
		r.log.Info("configuration read again", zap.Strings("taken", taken))
	default:
		r.log.Warn("configuration read again: some changes need a restart", zap.Strings("taken", taken), zap.Strings("restart", restart))
	}
}

// mistake logs that the new configuration is wrong, with all mistakes in one field.
func (r *reloader) mistake(err error) {
	var texts []string
	for _, e := range flatten(err) {
		texts = append(texts, e.Error())
	}
	r.log.Error("configuration read again: it has a mistake, so the previous configuration stays in use", zap.String("mistake", strings.Join(texts, "; ")))
}
