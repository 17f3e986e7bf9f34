package store_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/store"
)

// aKilobyte is the body of a letter as applications send it.
var aKilobyte = strings.Repeat("0123456789abcdef", 64)

// share has so many goroutines do b.N things together.
func share(b *testing.B, goroutines int, do func(n int64) error) {
	var next atomic.Int64
	var working sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		working.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
}

// BenchmarkKeep is how many letters are accepted, each of them durable.
func BenchmarkKeep(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			benchEach(b, func(b *testing.B, s store.Settings) {
				o := open(b, s).Outbox()
				keep(b, o, letter("first"), "")
				share(b, writers, func(n int64) error {
					_, err := o.Keep(b.Context(), letter(fmt.Sprintf("letter %012d", n)), strings.NewReader(aKilobyte), store.Bounds{MaxSize: 1 << 40})
					return err
				})
			})
		})
	}
}

// BenchmarkSend is how many letters are claimed, depart and end, as they are sent to an
// upstream that takes no time.
func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			benchEach(b, func(b *testing.B, s store.Settings) {
				o := open(b, s).Outbox()
				share(b, 128, func(n int64) error {
					_, err := o.Keep(b.Context(), letter(fmt.Sprintf("letter %012d", n)), strings.NewReader(aKilobyte), unbounded)
					return err
				})
				holder := hold(b, o)
				claimed := make(chan string, senders)
				go func() {
					defer close(claimed)
					for {
						ids := claim(b, holder, 2*senders)
						if len(ids) == 0 {
							return
						}
						for _, id := range ids {
							claimed <- id
						}
					}
				}()
				share(b, senders, func(int64) error {
					id, more := <-claimed
					if !more {
						return nil
					}
					if err := holder.Depart(b.Context(), id); err != nil {
						return err
					}
					return holder.End(b.Context(), id, store.End{State: store.Delivered, Attempt: tokens[:200], ResponseHead: tokens[:300], Response: strings.NewReader(aKilobyte)})
				})
			})
		})
	}
}
