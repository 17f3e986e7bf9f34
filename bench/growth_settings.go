package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"outrider/bench/load"
	"outrider/bench/report"
)

// byUpstreams has more and more upstreams, which are called in turns.
var byUpstreams = growth{
	of:      "upstreams",
	sizes:   []int{1, 10, 100, 1000, 10_000},
	columns: []report.Column{growthStart, growthCPU, growthMemory, growthEach},
	note:    "All of them are called, in turns, at a provider without TLS; the first call of each is not counted. Memory is with what each keeps once it has been used, a connection to the provider included.",
	more: func(l *lab, n int) string {
		var b strings.Builder
		for i := 1; i <= n; i++ { // as short as can be: a configuration has 1 MiB at most
			fmt.Fprintf(&b, "[upstream.u%d]\nurl=%q\nhosts=[]\nauth={type=\"bearer\",token=\"env:BENCH_TOKEN\"}\n", i, l.place.Upstream.Plain)
		}
		return b.String()
	},
	measure: func(ctx context.Context, l *lab, g *grown) error {
		script := filepath.Join(l.place.Dir, "turns.lua")
		if err := load.WriteTurns(script, g.n, "/u%d/", "User-Agent", "bench"); err != nil {
			return err
		}
		if err := g.call(ctx, l, load.Closed{URL: g.Base, Script: script}); err != nil {
			return err
		}
		return g.weigh(l)
	},
}

// byRules has more and more rules, of which the last one matches.
var byRules = growth{
	of:      "rules",
	sizes:   []int{1, 10, 100, 1000},
	columns: []report.Column{growthStart, growthCPU, growthMemory, growthEach},
	note:    "Of one upstream; the calls match the last rule.",
	more: func(l *lab, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "\n[upstream.ruled]\nurl = %q\nhosts = []\nauth = { type = \"bearer\", token = \"env:BENCH_TOKEN\" }\nlimit = { rate = \"1000000/s\", burst = 100000 }\n", l.place.Upstream.Plain)
		for i := 1; i <= n; i++ {
			fmt.Fprintf(&b, "\n[[upstream.ruled.rule]]\nmatch = \"GET /v1/objects%d/*/fields/**\"\ntimeout = \"30s\"\n", i)
		}
		return b.String()
	},
	measure: func(ctx context.Context, l *lab, g *grown) error {
		if err := g.call(ctx, l, load.Closed{URL: fmt.Sprintf("%s/ruled/v1/objects%d/17/fields/name", g.Base, g.n)}); err != nil {
			return err
		}
		return g.weigh(l)
	},
}
