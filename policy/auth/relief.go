package auth

// troubled reports whether OnRefresh was told of trouble that lasts.
func (o *OAuth2) troubled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hold.kind != "" || o.held.unsaved != nil
}

// relieved tells that trouble is over by what was found kept: somebody has logged in
// again, or another process has had more luck. Nothing was requested for it, so that
// OnRefresh is not told. troubled is how it was before.
func (o *OAuth2) relieved(troubled bool) {
	if troubled && o.set.OnFound != nil && !o.troubled() {
		o.set.OnFound()
	}
}
