package limit_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A visit is one call through several quotas.
type visit struct {
	at     time.Duration
	leaves time.Duration // when its client goes away; 0: never
	takes  time.Duration // until its body is closed
}

// drawVisits keeps apart what happens by microseconds, so that the order is known.
func drawVisits(t *rapid.T) []visit {
	span := rapid.SampledFrom([]int{10, 1000, 20000}).Draw(t, "span")
	visits := make([]visit, rapid.IntRange(1, 80).Draw(t, "calls"))
	for i := range visits {
		v := visit{
			at:    time.Duration(rapid.IntRange(0, span).Draw(t, "at"))*time.Millisecond + time.Duration(i)*time.Microsecond,
			takes: time.Duration(rapid.IntRange(1, 900).Draw(t, "takes"))*time.Millisecond + time.Duration(i)*137*time.Nanosecond,
		}
		if rapid.IntRange(0, 4).Draw(t, "cancels") == 0 {
			v.leaves = v.at + time.Duration(rapid.IntRange(1, 9000).Draw(t, "leaves"))*time.Millisecond + 7*time.Nanosecond
		}
		visits[i] = v
	}
	slices.SortFunc(visits, func(a, b visit) int { return int(a.at - b.at) })
	return visits
}

// ideal is when each call would be sent by somebody who sees everything: as soon as
// those before it have gone or left, and all quotas allow it. -1: never.
func ideal(visits []visit, smooth, window limit.Settings, slots int) []time.Duration {
	sent := make([]time.Duration, len(visits))
	bucket := float64(smooth.Burst)
	var filled, windowEnd, clock time.Duration
	spent := 0
	var closes []time.Duration // of those on their way
	for i, v := range visits {
		at := max(v.at, clock)
		for moved := true; moved; {
			moved = false
			if level := min(bucket+(at-filled).Seconds()*smooth.Count, float64(smooth.Burst)); level < 1-1e-7 {
				at += time.Duration((1 - level) / smooth.Count * float64(time.Second))
				moved = true
			}
			if at < windowEnd && spent >= int(window.Count) {
				at, moved = windowEnd, true
			}
			if slices.Sort(closes); len(closes) >= slots && closes[len(closes)-slots] > at {
				at, moved = closes[len(closes)-slots], true
			}
		}
		if v.leaves > 0 && at >= v.leaves {
			sent[i] = -1
			continue
		}
		sent[i], clock = at, at
		bucket, filled = min(bucket+(at-filled).Seconds()*smooth.Count, float64(smooth.Burst))-1, at
		if at >= windowEnd {
			windowEnd, spent = at+window.Per, 0
		}
		spent++
		closes = append(closes, at+v.takes)
	}
	return sent
}

// With a rate, a window and slots together, each call goes at the first moment at
// which it can: in order, with nothing lost to those who wait elsewhere, are
// cancelled or come back.
func TestSeveralQuotasLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		common := limit.Settings{Per: time.Second, MaxWait: time.Hour, MaxQueue: 1000}
		smooth, window, slots := common, common, common
		smooth.Count = rapid.SampledFrom([]float64{2, 10, 50}).Draw(rt, "rate")
		smooth.Burst = rapid.IntRange(1, 5).Draw(rt, "burst")
		window.Count = float64(rapid.IntRange(1, 30).Draw(rt, "count"))
		window.Per = time.Duration(rapid.IntRange(1, 10).Draw(rt, "per"))*time.Second + 31*time.Nanosecond
		window.Kind = pace.Window
		slots.Concurrency = rapid.IntRange(1, 5).Draw(rt, "slots")
		order := rapid.Permutation([]limit.Settings{smooth, window, slots}).Draw(rt, "order")
		visits := drawVisits(rt)

		got, left := visitAll(t, visits, order)
		for i, want := range ideal(visits, smooth, window, slots.Concurrency) {
			// A bucket is a float, and its debts are of nanoseconds.
			if d := got[i] - want; d < -time.Microsecond || d > time.Microsecond {
				rt.Errorf("call %d arrived at %v and was sent at %v, want %v", i, visits[i].at, got[i], want)
			}
		}
		for _, q := range left {
			if q.Active != 0 || q.Waiting != 0 || q.Tokens != q.Room {
				rt.Errorf("left %+v", q)
			}
		}
		if rt.Failed() {
			rt.Logf("%+v\n%+v", order, visits)
		}
	})
}

// visitAll gives when each call was sent; -1: it was not.
func visitAll(t *testing.T, visits []visit, order []limit.Settings) (sent []time.Duration, left []limit.State) {
	sent = make([]time.Duration, len(visits))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		groups := newGroups(t, order...)
		way := limit.Way{Scope: byHost}
		for _, g := range groups {
			way.Stops = append(way.Stops, limit.Stop{Table: g.table, Key: byHost})
		}
		rt := groups[0].Quotas.Wrap(way)(roundTripper(func(req *http.Request) (*http.Response, error) {
			i, _ := strconv.Atoi(req.URL.Path[1:])
			sent[i] = time.Since(start)
			return respond(200), nil
		}))
		var all sync.WaitGroup
		for i, v := range visits {
			sent[i] = -1
			all.Go(func() {
				time.Sleep(v.at)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if v.leaves > 0 {
					time.AfterFunc(v.leaves-v.at, cancel)
				}
				req, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://api.example/%d", i), nil)
				resp, err := rt.RoundTrip(req)
				if err != nil {
					return
				}
				time.Sleep(v.takes)
				resp.Body.Close()
			})
		}
		all.Wait()
		time.Sleep(time.Hour)
		for _, g := range groups {
			left = append(left, g.Snapshot()...)
		}
	})
	return sent, left
}
