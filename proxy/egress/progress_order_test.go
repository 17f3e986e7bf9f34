package egress

import "testing"

// An address that lost may be connected late, when another one is in its handshake: the dial
// seemed to be connecting again.
func TestADialDoesNotGoBack(t *testing.T) {
	var p progress
	p.reach(connecting)
	p.reach(securing)
	p.reach(connecting)
	if got := p.String(); got != phaseTexts[securing] {
		t.Errorf("the dial is %q", got)
	}
}
