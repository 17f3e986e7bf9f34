package cli

import (
	"fmt"
	"time"

	"outrider/policy"
)

// credentialState is the state of a credential that is fetched, in words.
func credentialState(c policy.CredentialStatus) string {
	text := c.State
	if c.State == "none" {
		text = "none yet: the first call has it fetched"
		if c.Login != "" {
			text = "not used yet: its tokens come from " + c.Login
		}
	}
	if c.Expires != nil && c.Usable {
		text += fmt.Sprintf(" for %s", time.Until(*c.Expires).Round(time.Second))
	}
	if c.Obtained != nil {
		text += fmt.Sprintf(", fetched %s ago", time.Since(*c.Obtained).Round(time.Second))
	}
	if c.Next != nil && time.Until(*c.Next) > 0 {
		text += fmt.Sprintf(", next in %s", time.Until(*c.Next).Round(time.Second))
	}
	if c.Spaced != nil && time.Until(*c.Spaced) > 0 {
		text += fmt.Sprintf("; a 401 is passed on for %s, since 401s have had the token replaced just now", time.Until(*c.Spaced).Round(time.Second))
	}
	if c.NotKept != "" {
		text += "; NOT KEPT: " + c.NotKept
	}
	if c.Error != "" {
		text += "; " + c.Error
	}
	return text
}
