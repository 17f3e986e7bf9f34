package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
)

// byLetters has more and more letters, which wait in the store.
var byLetters = growth{
	of:      "letters",
	sizes:   []int{1, 100, 1000, 10_000, 100_000},
	columns: []report.Column{{Name: "imported, µs each"}, {Name: "while they wait, CPU ms/s", Digits: 1}, {Name: "one more, CPU µs", Digits: 1}, {Name: "listed, ms", Digits: 1}, growthMemory, growthEach},
	note:    "They wait for a quota of one a day. The store is in memory here: on a disk, each letter waits for it, too. One more is a call that becomes a letter while they wait.",
	more: func(l *lab, _ int) string {
		return fmt.Sprintf("\n[outbox]\nmax_size = \"4GiB\"\nconcurrency = 1\n\n[upstream.kept]\nurl = %q\nhosts = []\noutbox = \"allow\"\ntimeout = \"1h\"\nauth = { type = \"bearer\", token = \"env:BENCH_TOKEN\" }\nlimit = { rate = \"1/d\", burst = 1 }\n", l.place.Upstream.Plain)
	},
	measure: keep,
}

func keep(ctx context.Context, l *lab, g *grown) error {
	var calls strings.Builder
	for i := 1; i <= g.n; i++ {
		fmt.Fprintf(&calls, "{\"method\":\"POST\",\"upstream\":\"kept\",\"path\":\"/orders\",\"json\":{\"id\":%d},\"dedup_key\":\"order-%d\"}\n", i, i)
	}
	start := time.Now()
	if _, err := g.Command(ctx, strings.NewReader(calls.String()), "outbox", "import", "-"); err != nil {
		return err
	}
	g.share("imported, µs each", microseconds(time.Since(start)))
	if err := g.weigh(l); err != nil {
		return err
	}
	if err := g.rest(ctx, l); err != nil {
		return err
	}
	script := filepath.Join(l.place.Dir, "posts.lua")
	if err := load.WritePosts(script); err != nil {
		return err
	}
	c, err := closed(ctx, g.Running, load.Closed{URL: g.Base + "/kept/orders", Clients: clients, Duration: time.Second, Script: script})
	if err != nil {
		return err
	}
	g.add("one more, CPU µs", c.microseconds())
	start = time.Now()
	if _, err := g.Command(ctx, nil, "outbox", "list"); err != nil {
		return err
	}
	g.add("listed, ms", microseconds(time.Since(start))/1000)
	return nil
}

// rest adds what is used while nothing happens.
func (g *grown) rest(ctx context.Context, l *lab) error {
	before, err := g.CPU()
	if err != nil {
		return err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(l.sample):
	}
	after, err := g.CPU()
	g.add("while they wait, CPU ms/s", microseconds(after-before)/1000/time.Since(start).Seconds())
	return err
}
