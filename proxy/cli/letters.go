package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy"
	"outrider/proxy/egress"
	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// newOutbox wires the outbox: where it keeps letters, and how they are sent.
func (s *sidecar) newOutbox() *outbox.Outbox {
	delivery := &proxy.Delivery{Live: &s.live, Telemetry: s.telemetry, Log: s.telemetry.Logger()}
	return outbox.New(outbox.Settings{
		Store:             s.storage.letters,
		Send:              delivery.Send,
		Serves:            delivery.Serves,
		KeyAge:            delivery.KeyAge,
		Idempotent:        policy.Idempotent,
		Address:           func(l *outbox.Line) (*outbox.Letter, error) { return proxy.Address(s.live.Load(), l) },
		CallbackTransport: &callbackWire{sidecar: s},
		SigningKey:        s.callbackKey,
		Observe:           s.observeLetters,
		Jitter:            jitter,
	}, proxy.Limits(s.file.Outbox))
}

// callbackKey signs callbacks; "": they are not signed.
func (s *sidecar) callbackKey() (string, error) {
	ref := s.live.Load().File.Outbox.CallbackKey
	if ref == "" {
		return "", nil
	}
	return s.secrets.get(ref)
}

// callbackWire sends callbacks: to any address but ours, for the operator has named where
// they may go, and by the proxy of the configuration that is live.
type callbackWire struct {
	sidecar *sidecar

	mu   sync.Mutex
	file *config.File // that way is for
	way  http.RoundTripper
	wire *egress.Transport // beneath it
}

func (w *callbackWire) RoundTrip(req *http.Request) (*http.Response, error) {
	way, err := w.current()
	if err != nil {
		return nil, err
	}
	return way.RoundTrip(req)
}

func (w *callbackWire) current() (http.RoundTripper, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := w.sidecar.live.Load().File
	if w.file == file {
		return w.way, nil
	}
	proxied, err := w.sidecar.way(file.Egress)
	if err != nil {
		return nil, err
	}
	wire, err := egress.New(egress.Settings{Guard: egress.NewOpenGuard(w.sidecar.ours), Proxy: proxied, Short: w.sidecar.shortages.dialed})
	if err != nil {
		return nil, err
	}
	if w.file != nil {
		w.wire.CloseIdleConnections()
	}
	w.file, w.way, w.wire = file, w.sidecar.telemetry.Transport(wire), wire
	return w.way, nil
}

// observeLetters tells what happens to letters. Each time that one is sent has a line of its
// own: that of a call, of the form outbox.
func (s *sidecar) observeLetters(e outbox.Event) {
	countLetter(s.telemetry, e)
	log := s.telemetry.Logger()
	about := []any{"letter", e.ID, "upstream", e.Upstream}
	if e.TraceID != "" {
		about = append(about, "trace_id", e.TraceID)
	}
	if e.Err != nil {
		about = append(about, "error", e.Err)
	}
	level, text := slog.LevelDebug, "a letter: "+string(e.Kind)
	switch e.Kind {
	case outbox.DeadLetter:
		level, text = slog.LevelWarn, "a letter is dead"
		about = append(about, "reason", e.Reason, "status", e.Status, "attempts", e.Attempt)
	case outbox.Deferred:
		text = "a letter is sent again later"
		about = append(about, "status", e.Status, "attempt", e.Attempt, "after", e.After.String())
	case outbox.StoreAway:
		level, text, about = slog.LevelError, "the store of the outbox cannot be used; nothing is kept or sent until it can be", []any{"error", e.Err}
	case outbox.StoreBack:
		level, text, about = slog.LevelInfo, "the store of the outbox can be used again", nil
	case outbox.Refusing:
		level, text, about = slog.LevelWarn, "letters are refused, for they cannot be kept; those that are kept are sent", []any{"error", e.Err}
	case outbox.Keeping:
		level, text, about = slog.LevelInfo, "letters are not refused any more", nil
	case outbox.ClockJump:
		level, text, about = slog.LevelWarn, "the clock was set; letters are due as if it had not been", []any{"by", e.Jump.String()}
	case outbox.Overtaken:
		level, text = slog.LevelWarn, "a letter was taken over by another Outrider while it was sent"
	}
	log.Log(context.Background(), level, text, about...)
}

// prepareFor finds out whether a file can be used, and opens the store where it lets calls
// be kept.
func (s *sidecar) prepareFor(file *config.File) error {
	if err := s.checkFile(file); err != nil || !keepsLetters(file) {
		return err
	}
	return s.storage.keepLetters()
}

// keepsLetters reports whether a configuration lets calls be kept.
func keepsLetters(file *config.File) bool {
	for _, u := range file.Upstreams {
		if u.Outbox != config.OutboxNever {
			return true
		}
		for _, rule := range u.Rules {
			if rule.Policy.Outbox != config.OutboxNever {
				return true
			}
		}
	}
	return false
}

// A sender sends the letters of this process from when there may be some: when calls may
// become letters, or when an earlier configuration has left some.
type sender struct {
	outbox  *outbox.Outbox
	storage *storage
	log     *slog.Logger
	wanted  chan struct{} // closed when calls may become letters
	once    sync.Once
	stop    context.CancelFunc
	ended   chan struct{}
}

// startSender begins. close ends it.
func startSender(o *outbox.Outbox, storage *storage, log *slog.Logger) *sender {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sender{outbox: o, storage: storage, log: log, wanted: make(chan struct{}), stop: cancel, ended: make(chan struct{})}
	go s.run(ctx)
	return s
}

// follow follows a configuration that is live.
func (s *sender) follow(file *config.File) {
	s.outbox.Configure(proxy.Limits(file.Outbox))
	if keepsLetters(file) {
		s.once.Do(func() { close(s.wanted) })
	}
}

func (s *sender) run(ctx context.Context) {
	defer close(s.ended)
	if s.needed(ctx) {
		s.outbox.Run(ctx)
	}
}

// askAgain is when a store that was away is asked again for letters that are left.
const askAgain = 5 * time.Second

// needed waits until there may be letters, or ctx ends.
func (s *sender) needed(ctx context.Context) bool {
	for {
		left, err := s.leftOver(ctx)
		if left {
			return true
		}
		var again <-chan time.Time
		if errors.Is(err, store.ErrAway) {
			again = time.After(askAgain)
		}
		select {
		case <-s.wanted:
			return true
		case <-again:
		case <-ctx.Done():
			return false
		}
	}
}

// leftOver reports whether there is a store already, with letters in it: those that wait are
// to be sent, and the others to be forgotten in time. One that nobody has made is not made.
func (s *sender) leftOver(ctx context.Context) (bool, error) {
	opened, err := s.storage.reach(ctx, true)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var counts []store.Count
	if err == nil {
		counts, err = opened.Outbox().Counts(ctx)
	}
	if err != nil {
		s.log.Debug("whether letters are left is not known", "error", err)
		return false, err
	}
	return slices.ContainsFunc(counts, func(c store.Count) bool { return c.Letters > 0 }), nil
}

// lastWrites is how long the sender may take, once it is broken off, to write down what came
// of letters. It is part of the grace: nobody gives us more.
const lastWrites = 5 * time.Second

// close waits for the letters that are on their way, and breaks off the rest so long before
// ctx ends that it can be written down. Where the store does not answer, that is lost, as if
// we had been killed: who sends them next finds that they have left.
func (s *sender) close(ctx context.Context) {
	s.stop()
	wait := ctx
	if end, ends := ctx.Deadline(); ends {
		var cancel context.CancelFunc
		wait, cancel = context.WithDeadline(ctx, end.Add(-lastWrites))
		defer cancel()
	}
	select {
	case <-s.ended:
		return
	case <-wait.Done():
	}
	s.outbox.Break()
	select {
	case <-s.ended:
	case <-time.After(lastWrites):
		s.log.Warn("the store does not answer: what came of the letters on their way is not written down")
	}
}
