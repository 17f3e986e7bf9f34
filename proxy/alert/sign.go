package alert

import "outrider/proxy/webhook"

// CheckSecret says what is wrong with a secret for signatures, without showing it.
func CheckSecret(secret string) error {
	_, err := webhook.Key(secret)
	return err
}
