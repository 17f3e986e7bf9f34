package main

import (
	"context"
	"net/url"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

const (
	columnPerStream = "KiB/stream"
	columnFirst     = "first event p50 µs"
)

// measureStreams is the group streams.
func measureStreams(ctx context.Context, l *lab) ([]*report.Table, error) {
	t := &report.Table{
		Group: "streams", Title: "Streams of events (SSE), TLS to the upstream", Head: "proxy",
		Columns: []report.Column{{Name: columnFirst}, {Name: "first event p99 µs"}, {Name: "event lag p50 µs"}, {Name: "event lag p99 µs"}, {Name: "CPU µs/event", Digits: 1}, {Name: columnPerStream, Digits: 1}, {Name: columnForeign, Digits: 2}},
	}
	for round := range l.rounds {
		if err := few(ctx, l, t, direct, l.place.Upstream.NearStreams, nil); err != nil {
			return nil, err
		}
		for _, s := range turns(l.callers(), round) {
			err := l.alone(ctx, s, func(r *subject.Running) error {
				if err := few(ctx, l, t, r.Name, r.Streams, r); err != nil {
					return err
				}
				return crowd(ctx, l, t, r)
			})
			if err != nil {
				return nil, err
			}
		}
		l.say("round %d of %d", round+1, l.rounds)
	}
	t.Note("Times are of 120 streams, one each 27 ms, with an event each 50 ms, the direct ones without TLS; nginx does not buffer, and HAProxy has http-no-delay. Memory is of 1,000 streams at a time with an event each second.")
	return []*report.Table{t}, nil
}

// flow is what a sample of streams found.
type flow struct {
	events load.Events
	cpu    time.Duration // of the proxy
}

// few measures times, by a load that nobody feels: the first time to warm up, with as many
// streams at a time as there will be, so that each finds a connection to the upstream. How
// often streams begin has no common measure with how often each has an event: a stream that
// began in the same moment as twenty others had theirs would wait for these.
func few(ctx context.Context, l *lab, t *report.Table, name, base string, by *subject.Running) error {
	of := load.Streams{Address: hostOf(base), Count: 120, Events: 20, Every: 50 * time.Millisecond, Ramp: 27 * time.Millisecond}
	warm := of
	warm.Events, warm.Ramp = 2, time.Millisecond
	if l.smoke {
		of = warm
	}
	if _, err := warm.Run(ctx); err != nil {
		return err
	}
	f, foreign, err := quietly(ctx, l, func() (flow, error) { return listen(ctx, of, by) })
	if err != nil {
		return err
	}
	t.Add(name, columnFirst, microseconds(report.Percentile(f.events.First, 0.5)))
	t.Add(name, "first event p99 µs", microseconds(report.Percentile(f.events.First, 0.99)))
	t.Add(name, "event lag p50 µs", microseconds(report.Percentile(f.events.Lag, 0.5)))
	t.Add(name, "event lag p99 µs", microseconds(report.Percentile(f.events.Lag, 0.99)))
	t.Add(name, columnForeign, foreign)
	if by != nil {
		t.Add(name, "CPU µs/event", microseconds(f.cpu)/float64(len(f.events.Lag)))
	}
	return nil
}

// listen reads streams, directly where by is nil.
func listen(ctx context.Context, of load.Streams, by *subject.Running) (flow, error) {
	var before, after time.Duration
	var err error
	if by != nil {
		if before, err = by.CPU(); err != nil {
			return flow{}, err
		}
	}
	events, err := of.Run(ctx)
	if err != nil {
		return flow{}, err
	}
	if by != nil {
		after, err = by.CPU()
	}
	return flow{events, after - before}, err
}

// crowd measures the memory of many streams, three seconds after the last one began.
func crowd(ctx context.Context, l *lab, t *report.Table, r *subject.Running) error {
	of := load.Streams{Address: hostOf(r.Streams), Count: 1000, Events: 8, Every: time.Second, Ramp: 1500 * time.Microsecond}
	if l.smoke {
		of.Count, of.Events = 20, 2
	}
	l.settle()
	before, err := r.Resident()
	if err != nil {
		return err
	}
	of.Started = func() error {
		l.settle()
		during, err := r.Resident()
		t.Add(r.Name, columnPerStream, float64(during-before)/1024/float64(of.Count))
		return err
	}
	_, err = of.Run(ctx)
	return err
}

// hostOf is the address that a base URL leads to.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Host
}
