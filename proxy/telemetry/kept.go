package telemetry

import (
	"slices"
	"sync"
)

// kept is the record of a call that is under way, and remembered later. It has one owner at a
// time: the span of the call, then the ring that remembers it. Others see copies. So it can
// serve another call when it is forgotten.
type kept struct {
	Record
	try [1]Try // room for the one that most calls have

	// What was asked for is cut out of a request, of which nothing else is to be held on to,
	// neither for its size nor for the secrets in it: once the call is remembered it is here,
	// and not in the record.
	text         []byte    // method, host and path
	method, host int       // where they end in it
	room         [128]byte // for most texts, beside all else that is written of a call
}

// keptPool has those that were forgotten.
var keptPool = sync.Pool{New: func() any { return new(kept) }}

func newKept() *kept {
	k := keptPool.Get().(*kept)
	k.Tries, k.text = k.try[:0], k.room[:0]
	return k
}

// free lets another call have it. It is long since it was written, and nothing of it is read:
// that would have to be waited for.
func (k *kept) free() {
	*k = kept{}
	keptPool.Put(k)
}

// holdNothing has the call hold on to nothing of its request.
func (k *kept) holdNothing() {
	k.text = append(k.text, k.Method...)
	k.method = len(k.text)
	k.text = append(k.text, k.Host...)
	k.host = len(k.text)
	k.text = append(k.text, k.Path...)
	k.Method, k.Host, k.Path = "", "", ""
}

// record is what others get of a call that is remembered.
func (k *kept) record() *Record {
	r, text := k.Record, string(k.text)
	r.Method, r.Host, r.Path = text[:k.method], text[k.method:k.host], text[k.host:]
	r.Tries = slices.Clone(k.Tries)
	return &r
}

// copy is another of the same call, which is remembered.
func (k *kept) copy() *kept {
	other := *k
	other.text, other.Tries = slices.Clone(k.text), slices.Clone(k.Tries)
	return &other
}
