package store_test

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"testing"

	"outrider/proxy/store"
)

var tokens = bytes.Repeat([]byte("t"), 2048) // of about the size of a JWT pair

// benchEach runs a benchmark on each engine.
func benchEach(b *testing.B, bench func(b *testing.B, s store.Settings)) {
	for name, fresh := range engines {
		b.Run(name, func(b *testing.B) { bench(b, fresh(b)) })
	}
}

func BenchmarkSave(b *testing.B) {
	benchEach(b, func(b *testing.B, s store.Settings) {
		slot := open(b, s).Slot("crm/default")
		for b.Loop() {
			if err := slot.Save(b.Context(), tokens); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSaveParallel(b *testing.B) {
	benchEach(b, func(b *testing.B, s store.Settings) {
		opened := open(b, s)
		var ids atomic.Int64
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			slot := opened.Slot(strconv.FormatInt(ids.Add(1), 10))
			for pb.Next() {
				if err := slot.Save(b.Context(), tokens); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkLoad(b *testing.B) {
	benchEach(b, func(b *testing.B, s store.Settings) {
		slot := open(b, s).Slot("crm/default")
		if err := slot.Save(b.Context(), tokens); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := slot.Load(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLock(b *testing.B) {
	benchEach(b, func(b *testing.B, s store.Settings) {
		slot := open(b, s).Slot("crm/default")
		for b.Loop() {
			unlock, err := slot.Lock(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			unlock()
		}
	})
}
