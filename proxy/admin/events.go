package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// A Follower hands on calls as they end.
type Follower interface {
	// Next waits for calls, and gives a list of them, the oldest first, and how many
	// there was no room for since it was last asked. Its error is that of ctx.
	Next(ctx context.Context) (calls any, lost uint64, err error)
	Close()
}

// Of a stream: how often the state is looked at, how long calls are collected, after
// what silence a sign of life is given, and how long a reader may take for what was
// written before it is given up.
const (
	statusEvery  = time.Second
	callsEvery   = 100 * time.Millisecond
	aliveEvery   = 15 * time.Second
	readerLimit  = 10 * time.Second
	maxFollowers = 64
)

// events serves GET /api/events: server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	only := query.Get("only")
	if only != "" && only != "calls" && only != "status" {
		Fail(w, http.StatusBadRequest, "malformed-request", fmt.Sprintf("only = %q: must be calls or status", only))
		return
	}
	if h.followers.Add(1) > maxFollowers {
		h.followers.Add(-1)
		w.Header().Set("Retry-After", "5")
		Fail(w, http.StatusServiceUnavailable, "too-many-streams", fmt.Sprintf("%d follow the events already.", maxFollowers))
		return
	}
	defer h.followers.Add(-1)

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	calls := make(chan callsEvent)
	if only != "status" {
		follower, err := h.settings.Follow(query.Get("filter"))
		if err != nil {
			Fail(w, http.StatusBadRequest, "malformed-request", "filter: "+err.Error())
			return
		}
		defer follower.Close()
		go collect(ctx, follower, calls)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	stream := &stream{w: w, control: http.NewResponseController(w), allowed: func() bool { return showsKey(r, h.accessKey()) }}
	if r.Method == http.MethodHead {
		return
	}
	status := h.settings.Status
	if only == "calls" {
		status = nil
	}
	stream.run(ctx, status, calls)
}

// callsEvent is what the event "calls" has.
type callsEvent struct {
	Calls any    `json:"calls"`
	Lost  uint64 `json:"lost,omitempty"` // before the first of them: the reader was too slow
}

// collect hands calls on, those of a tenth of a second at a time: a reader that is told
// of each by itself would be busy with nothing else.
func collect(ctx context.Context, from Follower, to chan<- callsEvent) {
	for {
		calls, lost, err := from.Next(ctx)
		if err != nil {
			return
		}
		select {
		case to <- callsEvent{calls, lost}:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(callsEvery):
		case <-ctx.Done():
			return
		}
	}
}

// A stream are the events of one reader.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	allowed func() bool // the reader may still look: the access key can be another by now
	state   []byte      // the last that was sent
}

// run sends events until ctx ends, or the reader is gone, or may not look any more.
func (s *stream) run(ctx context.Context, status func() any, calls <-chan callsEvent) {
	look, alive := time.NewTicker(statusEvery), time.NewTicker(aliveEvery)
	defer look.Stop()
	defer alive.Stop()
	err := s.write([]byte("retry: 2000\n\n"))
	if err == nil && status != nil {
		err = s.sendState(status())
	}
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case event := <-calls:
			err = s.send("calls", event)
		case <-look.C:
			if !s.allowed() {
				return
			}
			if status != nil {
				err = s.sendState(status())
			}
		case <-alive.C:
			err = s.write([]byte(":\n\n"))
		}
	}
}

// sendState sends the state if it is another than before.
func (s *stream) sendState(state any) error {
	data, err := json.Marshal(state)
	if err != nil || bytes.Equal(data, s.state) {
		return err
	}
	s.state = data
	return s.event("status", data)
}

func (s *stream) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.event(name, data)
}

// event writes data, which is JSON and so has no line break.
func (s *stream) event(name string, data []byte) error {
	return s.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data))
}

func (s *stream) write(data []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(readerLimit)) // what has no deadline ends with its connection
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	return s.control.Flush()
}
