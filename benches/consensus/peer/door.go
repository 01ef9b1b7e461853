package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"
)

// door is where the loader hands transfers over in batches and hears of blocks; cheaper than CometBFT's RPC.
//
// To the node: u32 length, then u16 length and bytes of each transfer. To the loader: u64 height (0: the pool
// refused), u32 count, then 16 bytes of id and a code each. A client that says 0 first hears heights only.
type door struct {
	lock    sync.Mutex
	clients map[*client]struct{}
}

type client struct {
	connection net.Conn
	wantsIDs   bool
	frames     chan []byte
}

type ending struct {
	id   identifier
	code byte
}

// framesQueued is more than the blocks of any run, so that a slow loader never holds a block up.
const framesQueued = 1 << 16

func (door *door) serve(address string, pool mempool.Mempool) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	door.clients = map[*client]struct{}{}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go door.attend(connection, pool)
		}
	}()
	return nil
}

func (door *door) attend(connection net.Conn, pool mempool.Mempool) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 1<<18)
	mode, err := reader.ReadByte()
	if err != nil {
		return
	}
	heard := &client{connection, mode != 0, make(chan []byte, framesQueued)}
	door.lock.Lock()
	door.clients[heard] = struct{}{}
	door.lock.Unlock()
	defer func() {
		door.lock.Lock()
		delete(door.clients, heard)
		close(heard.frames)
		door.lock.Unlock()
	}()
	go func() {
		for frame := range heard.frames {
			if _, err := connection.Write(frame); err != nil {
				connection.Close()
			}
		}
	}()
	var length [4]byte
	for {
		if _, err := io.ReadFull(reader, length[:]); err != nil {
			return
		}
		batch := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(reader, batch); err != nil {
			return
		}
		for len(batch) >= 2 {
			end := 2 + int(binary.BigEndian.Uint16(batch))
			door.submit(heard, pool, batch[2:end])
			batch = batch[end:]
		}
	}
}

func (door *door) submit(from *client, pool mempool.Mempool, data []byte) {
	refuse := func(code byte) {
		digest := sha256.Sum256(data)
		door.send(from, frame(0, []ending{{identifier(digest[:identifierBytes]), code}}))
	}
	err := pool.CheckTx(data, func(answer *abci.ResponseCheckTx) {
		if answer.Code != codeApplied {
			refuse(byte(answer.Code))
		}
	}, mempool.TxInfo{})
	if err != nil && !errors.Is(err, mempool.ErrTxInCache) {
		refuse(codePoolFull)
	}
}

func (door *door) tell(height int64, ended []ending) {
	door.lock.Lock()
	defer door.lock.Unlock()
	for one := range door.clients {
		told := ended
		if !one.wantsIDs {
			told = nil
		}
		select {
		case one.frames <- frame(height, told):
		default:
			one.connection.Close()
		}
	}
}

func (door *door) send(to *client, frame []byte) {
	door.lock.Lock()
	defer door.lock.Unlock()
	if _, isThere := door.clients[to]; isThere {
		select {
		case to.frames <- frame:
		default:
			to.connection.Close()
		}
	}
}

func frame(height int64, ended []ending) []byte {
	made := make([]byte, 0, 12+len(ended)*(identifierBytes+1))
	made = binary.BigEndian.AppendUint64(made, uint64(height))
	made = binary.BigEndian.AppendUint32(made, uint32(len(ended)))
	for _, one := range ended {
		made = append(append(made, one.id[:]...), one.code)
	}
	return made
}
