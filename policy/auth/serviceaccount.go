package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A ServiceAccount is what the key file of a Google service account says.
type ServiceAccount struct {
	Email      string // client_email: who signs
	PrivateKey Secret // private_key: PEM
	KeyID      string // private_key_id; "": it has none
	TokenURL   string // token_uri: where its assertions are sent; https
}

const googleTokenURL = "https://oauth2.googleapis.com/token" //nolint:gosec // G101: where tokens are had, and no token

// ReadServiceAccount reads a key file. Its errors show nothing of the text, and go on
// after the name of the setting: "is not JSON".
func ReadServiceAccount(text string) (ServiceAccount, error) {
	var file struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
		KeyID string `json:"private_key_id"`
		URL   string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return ServiceAccount{}, errors.New("is not the JSON of a service account's key")
	}
	switch {
	case file.Type != "service_account" && file.Type != "":
		return ServiceAccount{}, errors.New(`is of another type than "service_account"`)
	case file.Email == "":
		return ServiceAccount{}, errors.New("has no client_email")
	case file.Key == "":
		return ServiceAccount{}, errors.New("has no private_key")
	}
	account := ServiceAccount{Email: file.Email, PrivateKey: NewSecret(file.Key), KeyID: file.KeyID, TokenURL: googleTokenURL}
	if err := CheckPrivateKey(file.Key, ""); err != nil {
		return ServiceAccount{}, fmt.Errorf("has a private_key that %w", err)
	}
	if file.URL != "" {
		account.TokenURL = file.URL
	}
	u, err := url.Parse(account.TokenURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Contains(account.TokenURL, "#") {
		return ServiceAccount{}, errors.New("has a token_uri that is not https://HOST/PATH")
	}
	return account, nil
}
