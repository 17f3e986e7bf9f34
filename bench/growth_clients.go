package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

// byTenants has more and more connections in the sense of Outrider, which are credentials,
// and calls with them in turns.
var byTenants = growth{
	of:      "tenants",
	sizes:   []int{1, 10, 100, 1000, 10_000},
	columns: []report.Column{{Name: "added, µs each"}, growthCPU, growthMemory, growthEach},
	note:    "A tenant is a connection (Outrider-Connection) with a credential, a quota and a circuit of its own. All of them call, in turns; the first call of each is not counted.",
	more: func(l *lab, _ int) string {
		return fmt.Sprintf("\n[upstream.tenants]\nurl = %q\nhosts = []\nauth = { type = \"bearer\", token = \"env:BENCH_TOKEN\" }\nlimit = { rate = \"1000000/s\", burst = 100000 }\n", l.place.Upstream.Plain)
	},
	measure: func(ctx context.Context, l *lab, g *grown) error {
		var documents strings.Builder
		for i := 1; i <= g.n; i++ {
			fmt.Fprintf(&documents, "{\"name\":\"tenant-%d\",\"token\":\"token-of-%d\"}\n", i, i)
		}
		start := time.Now()
		if _, err := g.Command(ctx, strings.NewReader(documents.String()), "connections", "add", "tenants"); err != nil {
			return err
		}
		g.share("added, µs each", microseconds(time.Since(start)))
		script := filepath.Join(l.place.Dir, "turns.lua")
		if err := load.WriteTurns(script, g.n, "/tenants/", "Outrider-Connection", "tenant-%d"); err != nil {
			return err
		}
		if err := g.call(ctx, l, load.Closed{URL: g.Base, Script: script}); err != nil {
			return err
		}
		return g.weigh(l)
	},
}

// byCalls has more and more clients that call, each its next call when it has the answer to
// the last.
var byCalls = growth{
	of:      "calls at a time",
	sizes:   []int{1, 10, 100, 1000},
	columns: []report.Column{growthCPU, growthRival, growthMemory, growthEach},
	note:    "Each has a connection of its client, and one to the API. nginx, which was measured after each, shows what of it is the processor's and the kernel's.",
	measure: func(ctx context.Context, l *lab, g *grown) error {
		if err := g.call(ctx, l, load.Closed{URL: g.Calls, Clients: g.n}); err != nil {
			return err
		}
		if err := g.weigh(l); err != nil {
			return err
		}
		program, there := l.programs[subject.Nginx]
		if !there {
			return nil
		}
		l.stop()
		return l.alone(ctx, subject.NewNginx(program), func(r *subject.Running) error {
			c, err := l.cost(ctx, r, load.Closed{URL: r.Calls, Clients: g.n})
			if err == nil {
				g.add(growthRival.Name, c.microseconds())
			}
			return err
		})
	},
}

// byConnections has more and more connections of clients, which are idle.
var byConnections = growth{
	of:      "idle clients",
	sizes:   []int{1, 10, 100, 1000, 9_000},
	columns: []report.Column{growthCPU, growthMemory, growthEach},
	note:    "Calls come from 32 clients besides.",
	measure: func(ctx context.Context, l *lab, g *grown) error {
		held, err := load.Hold(ctx, hostOf(g.Calls), min(g.n, l.place.Held))
		if err != nil {
			return err
		}
		defer held.Release()
		if err := g.call(ctx, l, load.Closed{URL: g.Calls}); err != nil {
			return err
		}
		return g.weigh(l)
	},
}

// byWaiting has more and more calls that wait for their turn, while others are made.
var byWaiting = growth{
	of:      "waiting calls",
	sizes:   []int{1, 10, 100, 1000, 10_000, 100_000},
	columns: []report.Column{{Name: "arrival, CPU µs each"}, growthCPU, growthMemory, growthEach},
	note:    "They wait for one slot, by HTTP/2 inside of opened tunnels; the calls are to another upstream.",
	more: func(l *lab, _ int) string {
		return fmt.Sprintf("\n[upstream.slow]\nurl = %q\nhosts = [\"slow.test\"]\ntimeout = \"1h\"\nlimit = { concurrency = 1, max_wait = \"50m\", max_queue = 200000 }\n", l.place.Upstream.NearStreams)
	},
	measure: wait,
}

func wait(ctx context.Context, l *lab, g *grown) error {
	printed, err := g.Command(ctx, nil, "ca", "path")
	if err != nil {
		return err
	}
	root, err := os.ReadFile(strings.TrimSpace(printed))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	waiting := &load.Waiting{
		Proxy: g.Base,
		URL:   "https://slow.test/sse?events=2&every=1h", // of which one has the slot, for long
		TLS:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	defer waiting.Leave()
	before, err := g.CPU()
	if err != nil {
		return err
	}
	if err := waiting.Add(ctx, g.n+1); err != nil {
		return err
	}
	if err := g.waitFor(ctx, g.n); err != nil {
		return err
	}
	after, err := g.CPU()
	if err != nil {
		return err
	}
	g.share("arrival, CPU µs each", microseconds(after-before))
	if err := g.call(ctx, l, load.Closed{URL: g.Calls}); err != nil {
		return err
	}
	return g.weigh(l)
}

// patience is how long calls may take to arrive.
const patience = 4 * time.Minute

// waitFor returns when so many calls wait. While thousands arrive, it may take a while
// until Outrider says how many do.
func (g *grown) waitFor(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		waiting, err := g.Waiting(ctx, "slow")
		if err == nil && waiting >= count {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d calls wait of %d: %w", waiting, count, errors.Join(err, ctx.Err()))
		case <-time.After(time.Second):
		}
	}
}
