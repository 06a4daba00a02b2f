// SPDX-License-Identifier: Apache-2.0

// Command report turns what `go test -json` left in a folder into lines that people read: the failures of one stage
// with their output, and at the end a table of all stages that counts passed, failed and skipped tests.
//
// It owns the honesty of the summary: a stage that was asked for and left no result counts as failed. It must not run
// tests itself.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	stage := flag.String("stage", "", "print the failures of this `stage`")
	summary := flag.Bool("summary", false, "print the table of the stages named after the folder")
	flag.Parse()
	if flag.NArg() < 1 || (*stage == "") == !*summary {
		fmt.Fprintln(os.Stderr, "usage: report -stage NAME FOLDER | report -summary FOLDER STAGE…")
		os.Exit(2)
	}
	folder := os.DirFS(flag.Arg(0))
	if *stage != "" {
		result := readStage(folder, *stage)
		result.writeFailures(os.Stdout)
		fmt.Println(result.line())
		return
	}
	results := make([]stageResult, 0, flag.NArg()-1)
	for _, name := range flag.Args()[1:] {
		results = append(results, readStage(folder, name))
	}
	if !writeSummary(os.Stdout, results) {
		os.Exit(1)
	}
}
