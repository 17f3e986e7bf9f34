package outbox_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/outbox"
)

// BenchmarkDrain is how fast letters that wait are sent to an upstream that answers at once.
func BenchmarkDrain(b *testing.B) {
	o, stop := real(b, b.TempDir(), departing(func(s *outbox.Sending) outbox.Outcome { return good(s, 1) }))
	defer stop()
	var keeping sync.WaitGroup
	for range 64 {
		keeping.Go(func() {
			for range b.N/64 + 1 {
				l := &outbox.Letter{Upstream: "crm", Method: "POST", KeyHeader: "Idempotency-Key"}
				if _, err := o.Keep(context.Background(), l, strings.NewReader("{}"), outbox.KeepOptions{Delay: time.Hour}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	keeping.Wait()
	b.ResetTimer()
	if err := o.Drain(context.Background(), outbox.Filter{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
}
