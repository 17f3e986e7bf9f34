package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
	"outrider/bench/upstream"
)

// systemRoots is the bundle that clients load on Debian. It is loaded for each connection
// by many of them, which is a part of what a call costs.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// measureGain is the group gain.
func measureGain(ctx context.Context, l *lab) ([]*report.Table, error) {
	roots, err := l.allRoots()
	if err != nil {
		return nil, err
	}
	far := subject.With{More: fmt.Sprintf("\n[upstream.far]\nurl = %q\nca_file = %q\nhosts = []\nauth = { type = \"bearer\", token = \"env:BENCH_TOKEN\" }\nlimit = { rate = \"1000000/s\", burst = 100000 }\n", l.place.Upstream.Far, l.place.Upstream.Roots)}
	t := &report.Table{Group: "gain", Title: "What a client gains: time of a call, by TLS to the API", Head: "client"}
	for _, where := range []string{"loopback", upstream.FarRoundTrip.String() + " away"} {
		t.Columns = append(t.Columns, report.Column{Name: where + ", direct ms", Digits: 2}, report.Column{Name: where + ", by Outrider ms", Digits: 2}, report.Column{Name: where + ", gain ×", Digits: 2})
	}
	err = l.alone(ctx, l.outriderWith(far), func(r *subject.Running) error {
		for round := range l.rounds {
			for _, client := range load.Clients {
				if len(client.Needs) > 0 && exec.CommandContext(ctx, client.Needs[0], client.Needs[1:]...).Run() != nil {
					l.say("%s is left out: %s", client.Name, client.Line)
					continue
				}
				if err := gain(ctx, l, t, client, roots, "loopback", l.place.Upstream.API, r.Calls); err != nil {
					return err
				}
				if err := gain(ctx, l, t, client, roots, upstream.FarRoundTrip.String()+" away", l.place.Upstream.Far, r.Base+"/far"); err != nil {
					return err
				}
			}
			l.say("round %d of %d", round+1, l.rounds)
		}
		return nil
	})
	t.Note("Medians of calls that are made one after the other. Outrider keeps its connections to the API, so that a call is there and back once; without it, TCP and TLS are there and back twice before.")
	return []*report.Table{t}, err
}

// gain measures one client, directly and through Outrider.
func gain(ctx context.Context, l *lab, t *report.Table, client load.Client, roots, where, api, by string) error {
	calls := 50
	if l.smoke {
		calls = 3
	}
	before, err := client.Call(ctx, api+"/", calls, roots)
	if err != nil {
		return fmt.Errorf("%s: %w", client.Name, err)
	}
	after, err := client.Call(ctx, by+"/", calls, roots)
	if err != nil {
		return fmt.Errorf("%s, by Outrider: %w", client.Name, err)
	}
	alone, through := microseconds(report.Percentile(before, 0.5))/1000, microseconds(report.Percentile(after, 0.5))/1000
	t.Add(client.Name, where+", direct ms", alone)
	t.Add(client.Name, where+", by Outrider ms", through)
	t.Add(client.Name, where+", gain ×", alone/through)
	return nil
}

// allRoots is a file of the system's roots, as far as it has any, and of ours.
func (l *lab) allRoots() (string, error) {
	all, err := os.ReadFile(systemRoots)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	own, err := os.ReadFile(l.place.Upstream.Roots)
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.place.Dir, "all-roots.pem")
	return path, os.WriteFile(path, append(all, own...), 0o600)
}
