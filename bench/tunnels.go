package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
	"outrider/bench/upstream"
)

const (
	columnTunnel     = "CPU µs/tunnel"
	columnTunnelTLS  = "with TLS inside"
	columnTunnelBulk = "CPU s/GiB"
)

// measureTunnels is the group tunnels.
func measureTunnels(ctx context.Context, l *lab) ([]*report.Table, error) {
	t := &report.Table{
		Group: "tunnels", Title: "Tunnels (CONNECT) that are not opened", Head: "proxy",
		Columns: []report.Column{{Name: columnTunnel}, {Name: columnTunnelTLS}, {Name: "tunnels/s"}, {Name: columnTunnelBulk, Digits: 2}, {Name: "MiB/s"}, {Name: columnForeign, Digits: 2}},
	}
	roots, err := os.ReadFile(l.place.Upstream.Roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	defer l.stop()
	if err := l.start(ctx, l.forwarders()); err != nil {
		return nil, err
	}
	plain := load.Tunnels{Target: nearby(l.place.Upstream.Plain)}
	through := load.Tunnels{Target: nearby(l.place.Upstream.API), TLS: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	for round := range l.rounds {
		for _, r := range turns(slices.Clone(l.running), round) {
			plain.Proxy, through.Proxy = r.Proxy, r.Proxy
			if err := dig(ctx, l, t, r, plain, through); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
		}
		l.say("round %d of %d", round+1, l.rounds)
	}
	t.Note("A tunnel is a connection, CONNECT, and one call, with a handshake of TLS before it or without; tunnels/s are those with it, which keep the client busy.")
	return []*report.Table{t}, nil
}

// nearby is the address that a base URL leads to, without a name that would be looked up.
func nearby(base string) string { return strings.Replace(hostOf(base), "localhost", "127.0.0.1", 1) }

// forwarders are the subjects that take CONNECT.
func (l *lab) forwarders() []subject.Subject {
	all := []subject.Subject{l.outriderWith(subject.With{})}
	if program, there := l.programs[subject.Squid]; there {
		all = append(all, subject.NewSquid(program))
	}
	return l.taking(all)
}

// bored is what a sample of tunnels found.
type bored struct {
	tunnels int
	took    time.Duration
	cpu     time.Duration
}

// dig measures many tunnels with a call each, plain and by TLS, and one with a GiB.
func dig(ctx context.Context, l *lab, t *report.Table, r *subject.Running, plain, through load.Tunnels) error {
	bare, foreign, err := quietly(ctx, l, func() (bored, error) {
		return bore(r, func() (int, error) { return plain.Small(ctx, 8, l.sample) })
	})
	if err != nil {
		return err
	}
	t.Add(r.Name, columnTunnel, microseconds(bare.cpu)/float64(bare.tunnels))
	t.Add(r.Name, columnForeign, foreign)
	many, foreign, err := quietly(ctx, l, func() (bored, error) {
		return bore(r, func() (int, error) { return through.Small(ctx, 8, l.sample) })
	})
	if err != nil {
		return err
	}
	t.Add(r.Name, columnTunnelTLS, microseconds(many.cpu)/float64(many.tunnels))
	t.Add(r.Name, "tunnels/s", float64(many.tunnels)/many.took.Seconds())
	t.Add(r.Name, columnForeign, foreign)
	one, foreign, err := quietly(ctx, l, func() (bored, error) {
		return bore(r, func() (int, error) {
			moved, err := through.One(ctx, "/big")
			if err == nil && moved != upstream.Big {
				err = fmt.Errorf("%d bytes came of %d", moved, upstream.Big)
			}
			return 1, err
		})
	})
	if err != nil {
		return err
	}
	t.Add(r.Name, columnTunnelBulk, one.cpu.Seconds())
	t.Add(r.Name, "MiB/s", upstream.Big/mebibyte/one.took.Seconds())
	t.Add(r.Name, columnForeign, foreign)
	return nil
}

func bore(r *subject.Running, open func() (int, error)) (bored, error) {
	before, err := r.CPU()
	if err != nil {
		return bored{}, err
	}
	start := time.Now()
	tunnels, err := open()
	if err != nil {
		return bored{}, err
	}
	took := time.Since(start)
	after, err := r.CPU()
	return bored{tunnels, took, after - before}, err
}
