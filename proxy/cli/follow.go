package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"outrider/proxy/telemetry"
)

// An event is one of the admin port: "status" or "calls", with its JSON.
type event struct {
	name string
	data []byte
}

// callsEvent is what the event "calls" has.
type callsEvent struct {
	Calls []telemetry.Record `json:"calls"`
	Lost  uint64             `json:"lost"`
}

// reconnectAfter is how long a stream that broke is left alone: an Outrider that starts
// again needs less.
const reconnectAfter = time.Second

// silence is after how long without a sign of life a stream is taken for dead. Outrider
// gives one every 15 seconds.
const silence = 45 * time.Second

// follow hands on the events of a running Outrider until ctx ends, which is no error. A
// stream that breaks is begun again, after broke has been told why; but the first has to
// be. opened is called for each that has begun, before its first event; its error is as if
// the stream had broken. An error of handle, and a handleError of opened, ends it all.
func (c *commands) follow(ctx context.Context, query url.Values, opened func() error, handle func(event) error, broke func(error)) error {
	for first := true; ; first = false {
		way, err := c.adminWay() // anew: the access key may be another
		if err != nil {
			return err
		}
		broken := way.events(ctx, query, func() error {
			err := opened()
			first = first && err != nil
			return err
		}, handle)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if unhandled, ok := errors.AsType[handleError](broken); ok {
			return unhandled.error
		}
		if first {
			return broken
		}
		broke(broken)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectAfter):
		}
	}
}

// handleError is the error of whoever was handed an event: asking again does not help.
type handleError struct{ error }

// events reads one stream to its end, which is always an error.
func (way adminWay) events(ctx context.Context, query url.Values, opened func() error, handle func(event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %v", silence)) })
	defer quiet.Stop()
	resp, err := way.open(ctx, question{path: "/api/events", query: query})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := opened(); err != nil {
		return err
	}
	lines := bufio.NewReader(resp.Body)
	var e event
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			if errors.Is(err, io.EOF) {
				err = errors.New("it ended the stream")
			}
			return err
		}
		quiet.Reset(silence)
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if e.name != "" {
				if err := handle(e); err != nil {
					return handleError{err}
				}
			}
			e = event{}
		case bytes.HasPrefix(line, []byte("event: ")):
			e.name = string(line[len("event: "):])
		case bytes.HasPrefix(line, []byte("data: ")):
			e.data = line[len("data: "):]
		}
	}
}
