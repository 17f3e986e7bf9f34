package store_test

import (
	"context"
	"fmt"
	"os"

	"outrider/proxy/store"
)

func Example() {
	dir, err := os.MkdirTemp("", "outrider-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	kept, err := store.Open(ctx, store.Settings{
		Dir: dir,
		Key: func() (string, error) { return "correct horse battery staple", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kept.Close()

	// As a refresh of a token does: for all processes, one at a time.
	slot := kept.Slot("crm/default")
	unlock, err := slot.Lock(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unlock()
	old, _ := slot.Load(ctx)
	fmt.Println("before:", old == nil)
	if err := slot.Save(ctx, []byte(`{"refresh":"r2"}`)); err != nil {
		fmt.Println(err)
		return
	}
	data, _ := slot.Load(ctx)
	fmt.Printf("after: %s, sealed by the key of %s\n", data, kept.Plan().KeyFrom)
	// Output:
	// before: true
	// after: {"refresh":"r2"}, sealed by the key of the configuration
}
