package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/simulator"
	"outrider/proxy/telemetry"
)

// A demoGauge is how far one side is, for those who watch.
type demoGauge struct{ done, failed atomic.Int64 }

// demoGauges are those of the two sides.
type demoGauges [2]*demoGauge

// A demoOutcome is what became of one call, as its application saw it.
type demoOutcome struct {
	begun time.Duration // since the scene began
	took  time.Duration
	ok    bool
}

// A demoResult is what was measured in one scene.
type demoResult struct {
	scene    demoScene
	outcomes [2][]demoOutcome
	stats    [2]simulator.Stats // the providers' own counters
	records  []telemetry.Record // of the calls through Outrider
}

// play runs one scene on both sides at the same time.
func (s *demoStage) play(ctx context.Context, scene demoScene, gauges demoGauges) (demoResult, error) {
	result := demoResult{scene: scene}
	var clients [2]demoClient
	for i, side := range s.sides {
		side.provider.Reset()
		if scene.before != nil {
			if err := scene.before(ctx, side); err != nil {
				return result, err
			}
		}
		var err error
		if clients[i], err = side.client(scene); err != nil {
			return result, err
		}
	}

	var errs [2]error
	var both sync.WaitGroup
	for i, side := range s.sides {
		both.Go(func() {
			result.outcomes[i], errs[i] = scene.run(ctx, side, clients[i], gauges[i])
			if scene.kept && side.base != "" {
				errs[i] = errors.Join(errs[i], s.delivered(ctx, scene))
			}
			result.stats[i] = settled(side.provider)
		})
	}
	both.Wait()
	if ctx.Err() != nil {
		return result, errors.New("interrupted")
	}
	for _, r := range s.sidecar.telemetry.Recent(telemetry.Filter{}) {
		if r.Upstream == scene.name {
			result.records = append(result.records, *r)
		}
	}
	return result, errors.Join(errs[:]...)
}

// delivered waits until the letters of a scene have arrived, or are dead. They are sent at
// once when the outage is over, for an audience that does not want to wait for their turn.
func (s *demoStage) delivered(ctx context.Context, scene demoScene) error {
	if !sleep(ctx, scene.over) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, demoDeadline)
	defer cancel()
	return s.sidecar.outbox.Drain(ctx, outbox.Filter{Upstream: scene.name})
}

// run makes the calls of one side, while the provider does what the script says.
func (scene demoScene) run(ctx context.Context, side *demoSide, client demoClient, gauge *demoGauge) ([]demoOutcome, error) {
	var script error
	var running sync.WaitGroup
	if scene.during != nil {
		running.Go(func() { script = scene.during(ctx, side) })
	}
	began := time.Now()
	outcomes := make([]demoOutcome, scene.calls)
	one := func(i int) {
		o := &outcomes[i]
		o.begun = time.Since(began)
		bounded, cancel := context.WithTimeout(ctx, demoDeadline)
		defer cancel()
		o.ok = client(bounded, scene.call(i+1))
		o.took = time.Since(began) - o.begun
		if gauge.done.Add(1); !o.ok {
			gauge.failed.Add(1)
		}
	}
	if scene.workers > 0 {
		var next atomic.Int64
		for range scene.workers {
			running.Go(func() {
				for i := next.Add(1); i <= int64(scene.calls) && ctx.Err() == nil; i = next.Add(1) {
					one(int(i) - 1)
				}
			})
		}
	} else {
		for i := 0; i < scene.calls && sleep(ctx, time.Until(began.Add(time.Duration(i)*scene.every))); i++ {
			running.Go(func() { one(i) })
		}
	}
	running.Wait()
	return outcomes, script
}

// call is the i-th call of a scene, from 1.
func (scene demoScene) call(i int) demoCall {
	c := demoCall{method: scene.method, target: scene.path}
	if query := scene.query(i); query != "" {
		c.target += "?" + query
	}
	if scene.charges {
		c.logical = fmt.Sprintf("order-%03d", i)
		c.body = fmt.Sprintf("amount=%d", 100*i)
	}
	return c
}

// settled are the provider's counters once it has nothing in hand any more: it
// counts an answer a moment after its client has it.
func settled(p *demoProvider) simulator.Stats {
	stats := p.Stats()
	for wait := 0; stats.InFlight > 0 && wait < 100; wait++ {
		time.Sleep(10 * time.Millisecond)
		stats = p.Stats()
	}
	return stats
}
