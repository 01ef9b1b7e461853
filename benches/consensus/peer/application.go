package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
)

// A transfer: source, destination, sequence (8), amount (8), bytes that only make it as long as ICN's, signature
// of what is before it.
const (
	identifierBytes = 16
	transferBytes   = 2*identifierBytes + 16 + signatureBytes
	signatureBytes  = 64
	keyBytes        = 32
	floor           = -1_000_000_000
)

const (
	codeApplied = iota
	codeMalformed
	codeReplayed
	codeBelowFloor
	codePoolFull
)

type identifier [identifierBytes]byte

type account struct {
	key      ed25519.PubKey
	balance  int64
	sequence uint64
}

type application struct {
	abci.BaseApplication
	db   dbm.DB
	door *door

	lock     sync.RWMutex // accounts, verified
	accounts map[identifier]*account
	verified map[identifier]struct{} // of the pool: each signature is looked at once

	height  int64
	hash    []byte
	touched map[identifier]*account
	ended   []ending
}

var stateKey = []byte("state")

func openApplication(config *cfg.Config, path string) (*application, error) {
	db, err := dbm.NewDB("application", dbm.GoLevelDBBackend, filepath.Join(config.RootDir, "data"))
	if err != nil {
		return nil, err
	}
	app := &application{
		db:       db,
		door:     &door{},
		accounts: map[identifier]*account{},
		verified: map[identifier]struct{}{},
		touched:  map[identifier]*account{},
	}
	listed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for ; len(listed) >= identifierBytes+keyBytes; listed = listed[identifierBytes+keyBytes:] {
		name := identifier(listed[:identifierBytes])
		opened := &account{key: ed25519.PubKey(listed[identifierBytes : identifierBytes+keyBytes])}
		stored, err := db.Get(name[:])
		if err != nil {
			return nil, err
		}
		if stored != nil {
			opened.balance = int64(binary.BigEndian.Uint64(stored))
			opened.sequence = binary.BigEndian.Uint64(stored[8:])
		}
		app.accounts[name] = opened
	}
	stored, err := db.Get(stateKey)
	if err != nil {
		return nil, err
	}
	if stored != nil {
		app.height, app.hash = int64(binary.BigEndian.Uint64(stored)), stored[8:]
	}
	return app, nil
}

type transfer struct {
	id                  identifier
	source, destination *account
	names               [2]identifier
	sequence            uint64
	amount              int64
}

var errMalformed = errors.New("malformed")

// read parses a transfer and looks its accounts up; the lock must be held.
func (app *application) read(data []byte) (transfer, error) {
	if len(data) < transferBytes {
		return transfer{}, errMalformed
	}
	digest := sha256.Sum256(data)
	read := transfer{
		id:       identifier(digest[:identifierBytes]),
		names:    [2]identifier{identifier(data[:identifierBytes]), identifier(data[identifierBytes : 2*identifierBytes])},
		sequence: binary.BigEndian.Uint64(data[2*identifierBytes:]),
		amount:   int64(binary.BigEndian.Uint64(data[2*identifierBytes+8:])),
	}
	read.source, read.destination = app.accounts[read.names[0]], app.accounts[read.names[1]]
	if read.source == nil || read.destination == nil || read.source == read.destination || read.amount <= 0 {
		return transfer{}, errMalformed
	}
	return read, nil
}

func isSigned(key ed25519.PubKey, data []byte) bool {
	end := len(data) - signatureBytes
	return key.VerifySignature(data[:end], data[end:])
}

func (app *application) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	return &abci.ResponseInfo{LastBlockHeight: app.height, LastBlockAppHash: app.hash}, nil
}

// CheckTx verifies the signature; the blocks that hold the transfer find it among the verified.
func (app *application) CheckTx(_ context.Context, request *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	app.lock.RLock()
	read, err := app.read(request.Tx)
	isOld := err == nil && read.sequence <= read.source.sequence
	app.lock.RUnlock()
	switch {
	case err != nil:
		return &abci.ResponseCheckTx{Code: codeMalformed}, nil
	case isOld:
		return &abci.ResponseCheckTx{Code: codeReplayed}, nil
	case request.Type == abci.CheckTxType_Recheck:
		return &abci.ResponseCheckTx{}, nil
	case !isSigned(read.source.key, request.Tx):
		return &abci.ResponseCheckTx{Code: codeMalformed}, nil
	}
	app.lock.Lock()
	app.verified[read.id] = struct{}{}
	app.lock.Unlock()
	return &abci.ResponseCheckTx{}, nil
}

// judge tells which transfers may stand in a block in this order.
func (app *application) judge(transactions [][]byte) []bool {
	app.lock.RLock()
	defer app.lock.RUnlock()
	verdicts := make([]bool, len(transactions))
	next := map[*account]uint64{}
	for position, data := range transactions {
		read, err := app.read(data)
		if err != nil {
			continue
		}
		last, isKnown := next[read.source]
		if !isKnown {
			last = read.source.sequence
		}
		if read.sequence != last+1 {
			continue
		}
		if _, isVerified := app.verified[read.id]; !isVerified && !isSigned(read.source.key, data) {
			continue
		}
		next[read.source] = read.sequence
		verdicts[position] = true
	}
	return verdicts
}

func (app *application) PrepareProposal(
	_ context.Context, request *abci.RequestPrepareProposal,
) (*abci.ResponsePrepareProposal, error) {
	taken := make([][]byte, 0, len(request.Txs))
	for position, isValid := range app.judge(request.Txs) {
		if isValid {
			taken = append(taken, request.Txs[position])
		}
	}
	return &abci.ResponsePrepareProposal{Txs: taken}, nil
}

func (app *application) ProcessProposal(
	_ context.Context, request *abci.RequestProcessProposal,
) (*abci.ResponseProcessProposal, error) {
	for _, isValid := range app.judge(request.Txs) {
		if !isValid {
			return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
		}
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock executes in memory; Commit makes it durable.
func (app *application) FinalizeBlock(
	_ context.Context, request *abci.RequestFinalizeBlock,
) (*abci.ResponseFinalizeBlock, error) {
	app.lock.Lock()
	defer app.lock.Unlock()
	digest := sha256.New()
	digest.Write(app.hash)
	results := make([]*abci.ExecTxResult, len(request.Txs))
	app.ended = make([]ending, 0, len(request.Txs))
	for position, data := range request.Txs {
		read, err := app.read(data)
		if err != nil {
			return nil, fmt.Errorf("a block holds what ProcessProposal refuses: %w", err)
		}
		code := app.apply(read)
		delete(app.verified, read.id)
		digest.Write(read.id[:])
		results[position] = &abci.ExecTxResult{Code: uint32(code)}
		app.ended = append(app.ended, ending{read.id, byte(code)})
	}
	app.height = request.Height
	if len(request.Txs) > 0 {
		app.hash = digest.Sum(nil)
	}
	return &abci.ResponseFinalizeBlock{TxResults: results, AppHash: app.hash}, nil
}

func (app *application) apply(read transfer) int {
	if read.sequence != read.source.sequence+1 {
		return codeReplayed
	}
	read.source.sequence = read.sequence
	app.touched[read.names[0]] = read.source
	if read.source.balance-read.amount < floor {
		return codeBelowFloor
	}
	read.source.balance -= read.amount
	read.destination.balance += read.amount
	app.touched[read.names[1]] = read.destination
	return codeApplied
}

// Commit writes the changed accounts, synced, and tells the loader.
func (app *application) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	batch := app.db.NewBatch()
	defer batch.Close()
	for name, changed := range app.touched {
		value := binary.BigEndian.AppendUint64(nil, uint64(changed.balance))
		if err := batch.Set(append([]byte{}, name[:]...), binary.BigEndian.AppendUint64(value, changed.sequence)); err != nil {
			return nil, err
		}
	}
	state := append(binary.BigEndian.AppendUint64(nil, uint64(app.height)), app.hash...)
	if err := batch.Set(stateKey, state); err != nil {
		return nil, err
	}
	if err := batch.WriteSync(); err != nil {
		return nil, err
	}
	clear(app.touched)
	app.door.tell(app.height, app.ended)
	return &abci.ResponseCommit{}, nil
}
