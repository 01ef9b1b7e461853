package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/viper"

	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
)

const accountsFile = "accounts"

// settings are CometBFT's defaults, but for what four validators on one machine need, and the tuning by name.
func settings(name string) (*cfg.Config, error) {
	config := cfg.DefaultConfig()
	config.LogLevel = "error"
	config.RPC.ListenAddress = "" // the loader has a door of its own
	config.P2P.AddrBookStrict = false
	config.P2P.AllowDuplicateIP = true
	config.P2P.PexReactor = false
	switch name {
	case "default":
	case "tuned":
		config.Consensus.TimeoutCommit = 0
		config.Consensus.CreateEmptyBlocks = false
		config.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
		config.P2P.FlushThrottleTimeout = 2 * time.Millisecond
		config.Mempool.Recheck = false
		config.TxIndex.Indexer = "null"
	default:
		return nil, fmt.Errorf("no configuration %q", name)
	}
	return config, nil
}

func describe(name string) error {
	config, err := settings(name)
	if err != nil {
		return err
	}
	consensus := config.Consensus
	block := types.DefaultConsensusParams().Block
	for _, line := range []string{
		fmt.Sprintf("consensus.timeout_propose %v", consensus.TimeoutPropose),
		fmt.Sprintf("consensus.timeout_prevote %v", consensus.TimeoutPrevote),
		fmt.Sprintf("consensus.timeout_precommit %v", consensus.TimeoutPrecommit),
		fmt.Sprintf("consensus.timeout_commit %v", consensus.TimeoutCommit),
		fmt.Sprintf("consensus.skip_timeout_commit %v", consensus.SkipTimeoutCommit),
		fmt.Sprintf("consensus.create_empty_blocks %v", consensus.CreateEmptyBlocks),
		fmt.Sprintf("consensus.peer_gossip_sleep_duration %v", consensus.PeerGossipSleepDuration),
		fmt.Sprintf("p2p.flush_throttle_timeout %v", config.P2P.FlushThrottleTimeout),
		fmt.Sprintf("p2p.send_rate %v", config.P2P.SendRate),
		fmt.Sprintf("mempool.recheck %v", config.Mempool.Recheck),
		fmt.Sprintf("mempool.size %v", config.Mempool.Size),
		fmt.Sprintf("tx_index.indexer %v", config.TxIndex.Indexer),
		fmt.Sprintf("db_backend %v", config.DBBackend),
		fmt.Sprintf("block.max_bytes %v", block.MaxBytes),
	} {
		fmt.Println(line)
	}
	return nil
}

// writeHomes makes DIR/node0, DIR/node1, ... of one chain; DIR/accounts must be there when they run.
func writeHomes(name, directory string, addresses []string) error {
	config, err := settings(name)
	if err != nil {
		return err
	}
	genesis := &types.GenesisDoc{
		ChainID:         "bench",
		GenesisTime:     time.Now(),
		InitialHeight:   1,
		ConsensusParams: types.DefaultConsensusParams(),
	}
	peers := make([]string, len(addresses))
	homes := make([]string, len(addresses))
	for seat, address := range addresses {
		homes[seat] = filepath.Join(directory, fmt.Sprintf("node%d", seat))
		config.SetRoot(homes[seat])
		for _, folder := range []string{"config", "data"} {
			if err := os.MkdirAll(filepath.Join(homes[seat], folder), 0o700); err != nil {
				return err
			}
		}
		validator := privval.GenFilePV(config.PrivValidatorKeyFile(), config.PrivValidatorStateFile())
		validator.Save()
		key, err := validator.GetPubKey()
		if err != nil {
			return err
		}
		nodeKey, err := p2p.LoadOrGenNodeKey(config.NodeKeyFile())
		if err != nil {
			return err
		}
		genesis.Validators = append(genesis.Validators, types.GenesisValidator{PubKey: key, Power: 1})
		peers[seat] = p2p.IDAddressString(nodeKey.ID(), address)
	}
	for seat, address := range addresses {
		config.SetRoot(homes[seat])
		config.P2P.ListenAddress = "tcp://" + address
		others := append(append([]string{}, peers[:seat]...), peers[seat+1:]...)
		config.P2P.PersistentPeers = strings.Join(others, ",")
		if err := genesis.SaveAs(config.GenesisFile()); err != nil {
			return err
		}
		cfg.WriteConfigFile(filepath.Join(homes[seat], "config", "config.toml"), config)
	}
	return nil
}

// run starts a validator and its door; the function that is returned stops both.
func run(home, address string) (func() error, error) {
	config := cfg.DefaultConfig()
	viper.SetConfigFile(filepath.Join(home, "config", "config.toml"))
	if err := viper.ReadInConfig(); err != nil {
		return nil, err
	}
	if err := viper.Unmarshal(config); err != nil {
		return nil, err
	}
	config.SetRoot(home)
	if err := config.ValidateBasic(); err != nil {
		return nil, err
	}
	app, err := openApplication(config, filepath.Join(filepath.Dir(home), accountsFile))
	if err != nil {
		return nil, err
	}
	nodeKey, err := p2p.LoadNodeKey(config.NodeKeyFile())
	if err != nil {
		return nil, err
	}
	logger := log.NewFilter(log.NewTMLogger(log.NewSyncWriter(os.Stderr)), log.AllowError())
	// Pool and consensus call the application side by side; it locks what they share itself.
	made, err := node.NewNode(
		config,
		privval.LoadFilePV(config.PrivValidatorKeyFile(), config.PrivValidatorStateFile()),
		nodeKey,
		proxy.NewConnSyncLocalClientCreator(app),
		node.DefaultGenesisDocProviderFunc(config),
		cfg.DefaultDBProvider,
		node.DefaultMetricsProvider(config.Instrumentation),
		logger,
	)
	if err != nil {
		return nil, err
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	if err := app.door.serve(address, made.Mempool()); err != nil {
		return nil, err
	}
	return func() error {
		if err := made.Stop(); err != nil {
			return err
		}
		made.Wait()
		return app.db.Close()
	}, nil
}
