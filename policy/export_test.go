package policy

// ConnectionsInMemory counts the names of connections that an upstream remembers, of
// those that there are and of those that there are not.
func (s *Set) ConnectionsInMemory(upstream string) int {
	c := s.byName[upstream].connections
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byName)
}

// Sources counts the sources that Close would wait for.
func (l *Live) Sources() int { return len(l.sources) }
