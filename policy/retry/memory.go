package retry

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxMarks bounds what one half of a memory holds. A mark is 24 bytes.
const maxMarks = 4096

// A memory knows the marks that were noted within a span of time: all of them, or at
// least the latest maxMarks. It is made of two halves, of which the older is dropped as
// a whole.
type memory struct {
	span time.Duration
	made time.Time
	ends atomic.Int64 // when the latest mark is forgotten, in nanoseconds since made; 0: there was none

	mu         sync.Mutex
	young, old map[uint64]noted // by mark
	since      time.Duration    // young is in use, since made
}

// noted is what is known of a mark.
type noted struct {
	at    time.Duration // when it was noted last, since made
	times int           // it was noted, and not taken back
}

func newMemory(span time.Duration) *memory {
	return &memory{span: span, made: time.Now(), young: make(map[uint64]noted)}
}

// empty reports, without a lock, that nothing is known.
func (m *memory) empty() bool { return m.ends.Load() <= int64(time.Since(m.made)) }

// note remembers a mark, and reports whether it was known.
func (m *memory) note(mark uint64) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.made)
	before, known := m.out(mark, now)
	if now-m.since >= m.span || len(m.young) >= maxMarks {
		m.old, m.young, m.since = m.young, make(map[uint64]noted), now
	}
	m.young[mark] = noted{now, before.times + 1}
	m.ends.Store(int64(now + m.span))
	return known
}

// take takes a mark back that was noted once, and reports whether it was known.
func (m *memory) take(mark uint64) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, known := m.out(mark, time.Since(m.made))
	if before.times > 1 {
		m.young[mark] = noted{before.at, before.times - 1}
	}
	return known
}

// out takes out what is known of a mark; zero: nothing. mu is held.
func (m *memory) out(mark uint64, now time.Duration) (before noted, known bool) {
	if before, known = m.young[mark]; !known {
		before, known = m.old[mark]
	}
	delete(m.young, mark)
	delete(m.old, mark)
	if !known || now-before.at >= m.span {
		return noted{}, false
	}
	return before, true
}
