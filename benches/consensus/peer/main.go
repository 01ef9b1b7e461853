// Command peer is one CometBFT validator with an application that does what ICN's ledger does for a transfer.
//
//	peer describe tuned|default              prints the settings that matter, one a line
//	peer files tuned|default DIR ADDRESS...   writes the homes of validators that listen there
//	peer run DIR/node0 DOOR                   runs one; DOOR is where the loader connects
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "describe":
		return describe(arguments[1])
	case len(arguments) > 3 && arguments[0] == "files":
		return writeHomes(arguments[1], arguments[2], arguments[3:])
	case len(arguments) == 3 && arguments[0] == "run":
		stop, err := run(arguments[1], arguments[2])
		if err != nil {
			return err
		}
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
		<-asked
		return stop()
	}
	return fmt.Errorf("usage: peer describe|files|run ...")
}
