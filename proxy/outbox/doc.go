// Package outbox keeps calls that must arrive, but not now: letters. It knows what a
// letter is, when one is sent, and how it ends.
package outbox
