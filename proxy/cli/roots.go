package cli

// The certificate authorities of the web, for machines that bring none, such as
// our own image. Where the system has roots, these are not looked at.
import _ "golang.org/x/crypto/x509roots/fallback"
