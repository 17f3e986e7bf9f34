package telemetry

import (
	"sync/atomic"

	"outrider/proxy/telemetry/spans"
)

// alike remembers what spans of an upstream said that others say, too: most of what is told
// of a call is that of the one before, and is copied as it was encoded then.
type alike[F facts[F]] struct {
	latest [fewAlike]atomic.Pointer[said[F]]
	missed atomic.Uint32
}

// fewAlike is how many sorts of spans an upstream has at hand: those of a few methods and
// statuses. Of one that is called by thousands of names none is found, and one in missesKept is
// remembered all the same.
const (
	fewAlike   = 4
	missesKept = 8
)

// facts are what a span says that is not of this one alone.
type facts[F any] interface {
	comparable
	write(f *spans.Fields)
	kept() F // with nothing of the request that they are of: its head, say, which has secrets
}

// said are facts, and how they were encoded.
type said[F facts[F]] struct {
	facts  F
	common spans.Common
}

// write writes facts, as they were encoded before if they were. sort is a number that other
// sorts of spans seldom have.
func (a *alike[F]) write(f *spans.Fields, is *F, sort uint) {
	place := &a.latest[sort%fewAlike]
	known := place.Load()
	if known != nil && known.facts == *is {
		f.Common(known.common)
		return
	}
	begin := f.Size()
	(*is).write(f)
	if known == nil || a.missed.Add(1)%missesKept == 0 {
		place.Store(&said[F]{(*is).kept(), f.Since(begin)})
	}
}

// sortOf is of four sorts for 200, 304, 404 and 500, of the same method.
func sortOf(method string, status int) uint { return uint(len(method) + status + status/100) }
