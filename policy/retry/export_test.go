package retry

// MaxMarks bounds one half of a memory.
const MaxMarks = maxMarks

// Remembered counts the marks that are in memory.
func (r *Repeats) Remembered() (n int) {
	for _, m := range []*memory{r.keys, r.failed} {
		m.mu.Lock()
		n += len(m.young) + len(m.old)
		m.mu.Unlock()
	}
	return n
}
