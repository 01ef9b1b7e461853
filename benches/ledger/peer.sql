-- Mutual credit in the usual way: one call of one function per transfer, each a transaction of its own.
-- Identifiers are 8 bytes where ICN's have 16 and 32, and a transfer's hash of a memo is not indexed.

CREATE TABLE accounts (
    account bigint PRIMARY KEY,
    balance_minor bigint NOT NULL DEFAULT 0,
    floor_minor bigint NOT NULL,
    entries bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);  -- room for the next version in the same page, so that no index changes

-- Also what makes a repeated call harmless.
CREATE TABLE transfers (
    transfer bigint PRIMARY KEY,
    source bigint NOT NULL,
    destination bigint NOT NULL,
    amount_minor bigint NOT NULL,
    memo_hash bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE entries (
    account bigint NOT NULL,
    number bigint NOT NULL,
    transfer bigint NOT NULL,
    amount_minor bigint NOT NULL,
    balance_minor bigint NOT NULL,
    PRIMARY KEY (account, number)
);

CREATE FUNCTION transfer(wanted bigint, payer bigint, payee bigint, amount bigint, memo bytea)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    payer_balance bigint;
    payer_number bigint;
    payee_balance bigint;
    payee_number bigint;
BEGIN
    INSERT INTO transfers (transfer, source, destination, amount_minor, memo_hash)
    VALUES (wanted, payer, payee, amount, memo) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN (SELECT balance_minor FROM entries WHERE account = payer AND entries.transfer = wanted);
    END IF;
    -- In the order of their ids, so that no two calls wait for each other.
    IF payer > payee THEN
        UPDATE accounts SET balance_minor = balance_minor + amount, entries = entries + 1
        WHERE account = payee RETURNING balance_minor, entries INTO payee_balance, payee_number;
    END IF;
    UPDATE accounts SET balance_minor = balance_minor - amount, entries = entries + 1
    WHERE account = payer AND balance_minor - amount >= floor_minor
    RETURNING balance_minor, entries INTO payer_balance, payer_number;
    IF NOT FOUND THEN
        RAISE 'account % would fall below its floor', payer USING ERRCODE = 'check_violation';
    END IF;
    IF payer < payee THEN
        UPDATE accounts SET balance_minor = balance_minor + amount, entries = entries + 1
        WHERE account = payee RETURNING balance_minor, entries INTO payee_balance, payee_number;
    END IF;
    INSERT INTO entries (account, number, transfer, amount_minor, balance_minor)
    VALUES (payer, payer_number, wanted, -amount, payer_balance),
        (payee, payee_number, wanted, amount, payee_balance);
    RETURN payer_balance;
END
$$;
