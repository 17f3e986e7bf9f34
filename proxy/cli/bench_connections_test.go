package cli

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"outrider/policy/config"
)

// BenchmarkConnections hands connections over, one after the other, and sends the first
// and a second call of each.
func BenchmarkConnections(b *testing.B) {
	b.Setenv("KEYS_OWN", "own")
	b.Setenv("CRM_SECRET", "s")
	b.Setenv("CRM_LISTED", "r")
	base := "http://127.0.0.1:9"
	data := []byte(anyPorts + fmt.Sprintf("state_dir = %q\n", b.TempDir()) + customers(base))
	file, err := config.Parse("", data)
	if err != nil {
		b.Fatal(err)
	}
	s, err := start(b.Context(), "", data, file, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.stop(b.Context()) }()
	u, _ := s.live.Load().ByName("crm")
	plan := u.Plan("GET", "/x")
	const document = `{"access_token":"access-%d","refresh_token":"refresh-%d","expires_in":3600}`
	names := 0
	name := func(i int) string { return fmt.Sprintf("tenant-%d", i) }
	hand := func(b *testing.B, i int) {
		h, err := u.ReadHandover(name(i), fmt.Appendf(nil, document, i, i))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := u.HandOver(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("handover", func(b *testing.B) {
		for b.Loop() {
			hand(b, names)
			names++
		}
	})
	for ; names < 1000; names++ {
		hand(b, names)
	}
	b.Run("first", func(b *testing.B) {
		before := memory()
		i := 0
		for ; b.Loop(); i++ {
			if _, err := plan.Connect(b.Context(), name(i%names)); err != nil {
				b.Fatal(err)
			}
		}
		if used := min(i, names); used == names {
			b.ReportMetric(float64(memory()-before)/float64(used), "kept-B/connection")
		}
	})
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := plan.Connect(b.Context(), name(0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := plan.Connect(b.Context(), fmt.Sprint("nobody-", i)); err == nil {
				b.Fatal("somebody")
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if list, _, err := u.Connections(b.Context(), "", 1000); err != nil || len(list) != 1000 {
				b.Fatal(len(list), err)
			}
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			_ = s.live.Load().Status()
		}
	})
}

// memory is what is in use after everything else was given back.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
