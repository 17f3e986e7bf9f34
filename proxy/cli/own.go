package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"outrider/policy/config"
)

// freePort is a port of loopback that the system chooses.
const freePort = "127.0.0.1:0"

// An ownSidecar is a sidecar for one command.
type ownSidecar struct {
	*sidecar
	log      io.Closer
	unwatch  context.CancelFunc
	watching chan struct{}
}

// startOwn starts a sidecar for one command, on the configured addresses, or on
// free ports where those are taken.
func (c *commands) startOwn(ctx context.Context, log, path string, data []byte, file *config.File) (*ownSidecar, error) {
	own := &ownSidecar{watching: make(chan struct{})}
	output := warnings{to: c.Stderr}
	if log != "" {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, usageError{fmt.Errorf("opening the log: %w", err)}
		}
		output.all, own.log = f, f
	}
	// A signal is for the command. What it leaves under way is drained after it.
	ctx = context.WithoutCancel(ctx)
	at := placed(file, taken)
	var err error
	own.sidecar, err = start(ctx, path, data, at, &output)
	if _, raced := errors.AsType[*net.OpError](err); raced { // somebody has taken an address meanwhile
		at = placed(file, func(string) bool { return true })
		own.sidecar, err = start(ctx, path, data, at, &output)
	}
	if err != nil {
		return nil, errors.Join(err, own.closeLog())
	}
	own.forCommand.Store(true)
	if at.Listen != file.Listen {
		why := "is taken"
		if strings.HasPrefix(file.Listen, unixScheme) {
			why = "is a socket, which no proxy variable can name"
		}
		c.note("%s %s: for this command Outrider is at %s, its page at %s", file.Listen, why, own.addresses[""], own.adminAt)
	}
	ctx, own.unwatch = context.WithCancel(ctx)
	go func() {
		defer close(own.watching)
		own.reloader.Watch(ctx, nil)
	}()
	return own, nil
}

// placed is a configuration with free ports in the place of addresses that are
// taken.
func placed(file *config.File, taken func(address string) bool) *config.File {
	own := *file
	own.Upstreams = slices.Clone(file.Upstreams)
	addresses := []*string{&own.Listen, &own.Admin}
	for i := range own.Upstreams {
		addresses = append(addresses, &own.Upstreams[i].Listen)
	}
	for _, address := range addresses {
		if *address != "" && taken(*address) {
			*address = freePort
		}
	}
	if strings.HasPrefix(own.Listen, unixScheme) {
		own.Listen = freePort // no proxy variable can name a socket
	}
	return &own
}

// taken reports whether an address cannot be listened at.
func taken(address string) bool {
	listener, err := listenAt(address)
	if err != nil {
		return true
	}
	_ = listener.Close()
	return false
}

// end lets calls that the command left under way come to their end, as run does.
func (o *ownSidecar) end() error {
	o.unwatch()
	<-o.watching
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := o.stop(ctx)
	if err != nil {
		err = fmt.Errorf("draining: %w", err)
	}
	return errors.Join(err, o.closeLog())
}

func (o *ownSidecar) closeLog() error {
	if o.log == nil {
		return nil
	}
	return o.log.Close()
}

// warnings pass on what is at least a warning, and keep all if there is a place.
// Loggers write a record at a time, its level in front. Only lines of calls come several
// at a time, and nothing else with them: they are no warnings.
type warnings struct {
	to, all io.Writer // all may be nil
}

func (w *warnings) Write(record []byte) (int, error) {
	head := record[:min(len(record), 120)]
	for _, level := range []string{`"level":"WARN"`, `"level":"ERROR"`, "level=WARN", "level=ERROR"} {
		if bytes.Contains(head, []byte(level)) {
			_, _ = w.to.Write(record)
			break
		}
	}
	if w.all == nil {
		return len(record), nil
	}
	return w.all.Write(record)
}
