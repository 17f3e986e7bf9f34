package retry

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxMarks bounds what one half of a memory holds. A mark is 16 bytes.
const maxMarks = 4096

// A memory knows the marks that were noted within a span of time: all of them, or at
// least the latest maxMarks. It is made of two halves, of which the older is dropped as
// a whole.
type memory struct {
	span time.Duration
	made time.Time
	ends atomic.Int64 // when the latest mark is forgotten, in nanoseconds since made; 0: there was none

	mu         sync.Mutex
	young, old map[uint64]time.Duration // mark → when it was noted last, since made
	since      time.Duration            // young is in use
}

func newMemory(span time.Duration) *memory {
	return &memory{span: span, made: time.Now(), young: make(map[uint64]time.Duration)}
}

// empty reports, without a lock, that nothing is known.
func (m *memory) empty() bool { return m.ends.Load() <= int64(time.Since(m.made)) }

// note remembers a mark, and reports whether it was known.
func (m *memory) note(mark uint64) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.made)
	known = m.has(mark, now)
	if now-m.since >= m.span || len(m.young) >= maxMarks {
		m.old, m.young, m.since = m.young, make(map[uint64]time.Duration), now
	}
	m.young[mark] = now
	m.ends.Store(int64(now + m.span))
	return known
}

// forget takes a mark back.
func (m *memory) forget(mark uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, mark)
	delete(m.old, mark)
}

// knows reports whether a mark was noted within the span.
func (m *memory) knows(mark uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(mark, time.Since(m.made))
}

// has is knows; mu is held.
func (m *memory) has(mark uint64, now time.Duration) bool {
	at, known := m.young[mark]
	if !known {
		at, known = m.old[mark]
	}
	return known && now-at < m.span
}
