package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"outrider/proxy/simulator"
)

// demoDeadline is how long the application waits for any call, on both sides.
const demoDeadline = 10 * time.Second

// A demoScene is one way in which a provider misbehaves, and the calls that are
// made meanwhile. Both sides make the same calls, against a provider each, whose
// script is the same.
type demoScene struct {
	name   string // of the upstream too
	about  string
	policy string // the upstream's settings, as TOML, without its url

	method, path string
	query        func(i int) string // what call i, from 1, asks the provider for
	charges      bool               // each call has a name of its own, under which its effects are counted
	token        bool               // the provider wants a token
	kept         bool               // Outrider keeps the calls, and sends them until they have arrived
	host         string             // the application calls https://host, and uses Outrider as its proxy; "": it calls a base URL

	calls   int
	workers int           // so many calls at a time; or
	every   time.Duration // one call each, whatever became of those before

	before func(ctx context.Context, side *demoSide) error // the first call
	during func(ctx context.Context, side *demoSide) error // the calls

	outage string        // what the provider's statistics call an answer of its outage; "" without one
	over   time.Duration // when the outage ends, counted from the first call
	calm   time.Duration // not 0: calls begun before this may fail, and be told so at once

	alert string // the rule of the one alert that there has to be of it; "": there must be none
	note  string // what there is to say of it in the end; "": nothing
}

// demoSize scales the scenes.
type demoSize struct {
	limited, charges, messages int
	outage, after              time.Duration
}

var (
	demoFull  = demoSize{limited: 60, charges: 40, messages: 60, outage: 2 * time.Second, after: time.Second}
	demoShort = demoSize{limited: 25, charges: 10, messages: 40, outage: time.Second, after: 300 * time.Millisecond}
)

const (
	demoPace = 50 * time.Millisecond  // between the calls of a scene that has no workers
	demoLead = 400 * time.Millisecond // until something happens in such a scene
	// demoProbe is how long after an outage a circuit may stay open, open_max
	// below, and as much again for its probe and a busy machine.
	demoProbe = 1200 * time.Millisecond
)

func demoScenes(size demoSize) []demoScene {
	return []demoScene{
		limitScene(size), chargeScene(size), maintenanceScene(size), outageScene(size), ordersScene(size), tokenScene(), chatScene(size),
	}
}

// limitScene has a limit that nobody told Outrider of: its answers say in their headers
// what is left.
func limitScene(size demoSize) demoScene {
	return demoScene{
		name:   "limit",
		about:  fmt.Sprintf("%d calls by 8 workers; 20 a second are taken: only the headers say so", size.limited),
		method: http.MethodGet, path: "/limited/window/orders", query: always("limit=20&per=1s"),
		calls: size.limited, workers: 8,
	}
}

// chargeScene is about effects: of ten charges one fails before it is made, one
// is made and answered 503, one is made and its connection reset; of twenty,
// another one is reset twice.
func chargeScene(size demoSize) demoScene {
	return demoScene{
		name:   "payments",
		about:  fmt.Sprintf("%d by POST; a third meets a 503 or a reset, mostly after the effect", size.charges),
		policy: `retry = { idempotency_header = "Idempotency-Key", mint_key = true }`,
		method: http.MethodPost, path: "/charges", charges: true,
		query: func(i int) string {
			switch {
			case i%10 == 3:
				return "fail=after&with=reset"
			case i%10 == 6:
				return "fail=before&with=503"
			case i%10 == 9:
				return "fail=after&with=503"
			case i%20 == 10:
				return "fail=after&with=reset&times=2"
			}
			return ""
		},
		calls: size.charges, workers: 4,
	}
}

func maintenanceScene(size demoSize) demoScene {
	return demoScene{
		name:   "maintenance",
		about:  fmt.Sprintf("503 for %s, with a Retry-After that says so; 20 calls a second", size.outage),
		policy: `limit = { rate = "100/s" }`,
		method: http.MethodGet, path: "/echo/reports", query: always(""),
		calls: int((demoLead + size.outage + size.after) / demoPace), every: demoPace,
		during: outageAfter(demoLead, simulator.Control{
			Outage: "503", For: size.outage, RetryAfter: fmt.Sprint(int(size.outage.Seconds())),
		}),
		outage: "503", over: demoLead + size.outage,
	}
}

func outageScene(size demoSize) demoScene {
	over := demoLead + size.outage
	calm := over + demoProbe
	return demoScene{
		name:   "outage",
		about:  fmt.Sprintf("every connection is reset for %s; 20 calls a second", size.outage),
		policy: `circuit = { min_calls = 10, open = "300ms", open_max = "600ms", ramp = "500ms" }`,
		method: http.MethodGet, path: "/echo/shipping", query: always(""),
		calls: int((calm + 500*time.Millisecond) / demoPace), every: demoPace,
		during: outageAfter(demoLead, simulator.Control{Outage: "reset", For: size.outage}),
		outage: "raw", over: over, calm: calm,
		alert: "circuit-open",
	}
}

// ordersScene is about calls that must arrive, made while nobody is there. None of them is a
// failure for its application: they are kept, with 202, and sent when the provider is back.
func ordersScene(size demoSize) demoScene {
	return demoScene{
		name:   "orders",
		about:  fmt.Sprintf("5 by POST, in the %s in which every connection is reset", size.outage),
		policy: "auth = { type = \"none\" }\noutbox = \"always\"\nretry = { idempotency_header = \"Idempotency-Key\", mint_key = true }",
		method: http.MethodPost, path: "/charges", charges: true, kept: true, query: always(""),
		calls: 5, every: demoPace,
		before: func(_ context.Context, side *demoSide) error {
			return side.provider.Control(simulator.Control{Outage: "reset", For: size.outage})
		},
		over: size.outage,
		note: "Outrider kept the orders (202), and each has arrived, once.",
	}
}

// demoLifetime is how long the provider's tokens live.
const demoLifetime = 2 * time.Second

// tokenScene is about a token that expires, and that is revoked before. The plain
// client has read it once; Outrider has the refresh token, which rotates with each
// use and kills the connection when a spent one is shown.
func tokenScene() demoScene {
	return demoScene{
		name:   "token",
		about:  fmt.Sprintf("it is revoked once, and lives %s; https:// by HTTPS_PROXY", demoLifetime),
		host:   "api.crm.test",
		method: http.MethodGet, path: "/protected/crm", query: always(""), token: true,
		calls: int((2*demoLifetime + 800*time.Millisecond) / demoPace), every: demoPace,
		before: func(ctx context.Context, side *demoSide) error { return side.newToken(ctx, demoLifetime) },
		during: func(ctx context.Context, side *demoSide) error {
			if !sleep(ctx, demoLifetime/2) {
				return nil
			}
			return side.provider.Control(simulator.Control{Revoke: true})
		},
	}
}

// chatScene fails with status 200: half way, the channel is archived, and no message is
// posted any more. No client that goes by the status notices.
func chatScene(size demoSize) demoScene {
	return demoScene{
		name:   "chat",
		about:  fmt.Sprintf("%d messages; from the middle on 200 OK, and ok: false in the body", size.messages),
		policy: "[[upstream.chat.answer]]\nstatus = 200\nfield = \"ok\"\nvalues = [\"false\"]\nmeans = \"failed\"\n",
		method: http.MethodPost, path: "/quiet/slack",
		query: func(i int) string {
			if i > size.messages/2 {
				return "error=is_archived"
			}
			return "times=0"
		},
		calls: size.messages, workers: 2,
		alert: "quiet-failures",
		note:  "Half of the messages were not posted, which no status tells.",
	}
}

func always(query string) func(int) string { return func(int) string { return query } }

func outageAfter(lead time.Duration, outage simulator.Control) func(context.Context, *demoSide) error {
	return func(ctx context.Context, side *demoSide) error {
		if !sleep(ctx, lead) {
			return nil
		}
		return side.provider.Control(outage)
	}
}

// sleep waits, and reports whether it could to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
