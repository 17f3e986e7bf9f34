package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Streams are clients that each read a stream of events.
type Streams struct {
	Address string
	Count   int           // streams
	Events  int           // of each stream
	Every   time.Duration // between two events
	Ramp    time.Duration // between the starts of two streams
	Started func() error  // called once every stream has its first event; nil: nothing is
}

// Events are what came of Streams, both sorted.
type Events struct {
	First []time.Duration // from the connect to the first event, for each stream
	Lag   []time.Duration // from the sending of an event to its arrival, for each event
}

// Run reads all the streams to their end. One that fails, or lacks events, is an error.
func (s Streams) Run(ctx context.Context) (Events, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each := make([]Events, s.Count)
	var first, ended sync.WaitGroup
	for i := range each {
		first.Add(1)
		ended.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun()
			if err := s.read(ctx, &each[i], begun); err != nil {
				cancel(err)
			}
		})
		time.Sleep(s.Ramp)
	}
	first.Wait()
	if s.Started != nil && ctx.Err() == nil {
		if err := s.Started(); err != nil {
			cancel(err)
		}
	}
	ended.Wait()
	if err := context.Cause(ctx); err != nil {
		return Events{}, fmt.Errorf("reading streams: %w", err)
	}
	var all Events
	for _, one := range each {
		all.First, all.Lag = append(all.First, one.First...), append(all.Lag, one.Lag...)
	}
	slices.Sort(all.First)
	slices.Sort(all.Lag)
	return all, nil
}

// read reads one stream.
func (s Streams) read(ctx context.Context, into *Events, begun func()) error {
	start := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := fmt.Fprintf(conn, "GET /sse?events=%d&every=%s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: text/event-stream\r\n\r\n", s.Events, s.Every); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1024), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("the answer is " + resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 512), 4096)
	for lines.Scan() {
		sent, is := sentAt(lines.Text())
		if !is {
			continue
		}
		now := time.Now()
		if len(into.First) == 0 {
			into.First = append(into.First, now.Sub(start))
			begun()
		}
		into.Lag = append(into.Lag, now.Sub(sent))
	}
	if len(into.Lag) != s.Events {
		return fmt.Errorf("%d events came of %d: %w", len(into.Lag), s.Events, errors.Join(lines.Err(), errCut))
	}
	return nil
}

var errCut = errors.New("the stream ended early")

// sentAt is when the upstream says that it sent an event, if the line is one.
func sentAt(line string) (time.Time, bool) {
	_, rest, found := strings.Cut(line, `"sent":`)
	if !found {
		return time.Time{}, false
	}
	number, _, _ := strings.Cut(rest, ",")
	nanoseconds, err := strconv.ParseInt(number, 10, 64)
	return time.Unix(0, nanoseconds), err == nil
}
