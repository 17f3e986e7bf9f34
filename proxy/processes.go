package proxy

import (
	"net/netip"
	"sync"
	"time"
)

// processes tells which process is at the other end of a connection of loopback.
// That takes a look at the open files of all processes, which is dear: it is done
// for all connections at once, and in the long run takes a tenth of the time at most.
type processes struct {
	mu     sync.Mutex // held during a look
	begun  time.Time  // when the last look began; zero: there was none
	credit time.Duration
	seen   map[ends]int // connection → process of its client
}

// ends are the two of a connection, by which the system knows it: one of them may be that of
// several connections, of different programs.
type ends struct{ client, server netip.AddrPort }

// mostCredit is how long looks may take in a row, after a quiet time.
const mostCredit = 500 * time.Millisecond

// of is the process behind an open connection; 0 if it is not known. final says that
// another look would find nothing else. (As long as the connection is open, no other has
// its ends.)
func (p *processes) of(connection ends, opened time.Time) (pid int, final bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun.After(opened) && !p.look() {
		return 0, false
	}
	return p.seen[connection], true
}

// look looks again, if it may.
func (p *processes) look() bool {
	now := time.Now()
	credit := min(p.credit+now.Sub(p.begun)/10, mostCredit)
	if credit <= 0 {
		return false
	}
	p.seen, p.begun = lookForProcesses(), now
	p.credit = credit - time.Since(now)
	return true
}
