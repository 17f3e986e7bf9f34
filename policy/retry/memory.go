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
func (m *memory) empty() bool {
	ends := m.ends.Load()
	return ends == 0 || ends <= int64(time.Since(m.made))
}

// note remembers a mark, and reports whether it was known.
func (m *memory) note(mark uint64) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Since(m.made)
	half, before := m.find(mark, now)
	delete(half, mark)
	if now-m.since >= m.span || len(m.young) >= maxMarks {
		m.old, m.young, m.since = m.young, make(map[uint64]noted), now
	}
	m.young[mark] = noted{now, before.times + 1}
	m.ends.Store(int64(now + m.span))
	return half != nil
}

// take takes a mark back that was noted once, and reports whether it was known.
func (m *memory) take(mark uint64) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	half, before := m.find(mark, time.Since(m.made))
	if before.times > 1 {
		half[mark] = noted{before.at, before.times - 1}
	} else {
		delete(half, mark)
	}
	return half != nil
}

// find gives what is known of a mark, and the half that holds it; nil: nothing is known.
// mu is held.
func (m *memory) find(mark uint64, now time.Duration) (half map[uint64]noted, known noted) {
	for _, half := range [...]map[uint64]noted{m.young, m.old} {
		if known, ok := half[mark]; ok && now-known.at < m.span {
			return half, known
		}
	}
	return nil, noted{}
}
