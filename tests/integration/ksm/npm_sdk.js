// Scenarios for the official npm SDK, unmodified: `node npm_sdk.js SDK-FOLDER SCENARIO < arguments.json`.
// Each gets the SDK, its options and the test's arguments; what it returns is printed as JSON.
"use strict";
const fs = require("fs");
const sdk = require(process.argv[2]);
const given = JSON.parse(fs.readFileSync(0, "utf8"));

function open(config) {
  return { storage: sdk.loadJsonConfig(config) };
}

function field(record, type) {
  return record.data.fields.find((one) => one.type === type).value[0];
}

async function only(options, uid) {
  const found = await sdk.getSecrets(options, [uid]);
  return found.records[0];
}

function secret(title) {
  return {
    title,
    type: "login",
    fields: [
      { type: "login", value: ["app"] },
      { type: "password", value: ["first"] },
    ],
  };
}

async function refused(work) {
  try {
    await work();
  } catch (error) {
    return String(error.message || error);
  }
  return "";
}

const scenarios = {
  async bind({ token, hostname, serverKey, serverKeyId, file }) {
    const storage = sdk.localConfigStorage(file);
    await storage.saveString("serverPublicKey", serverKey);
    await storage.saveString("serverPublicKeyId", serverKeyId);
    await sdk.initializeStorage(storage, token, hostname);
    const first = await sdk.getSecrets({ storage });
    const second = await sdk.getSecrets({ storage: sdk.localConfigStorage(file) });
    const other = sdk.inMemoryStorage({});
    await other.saveString("serverPublicKey", serverKey);
    await other.saveString("serverPublicKeyId", serverKeyId);
    await sdk.initializeStorage(other, token, hostname);
    const again = await refused(() => sdk.getSecrets({ storage: other }));
    return [first.records[0].data.title, second.records[0].data.title, again];
  },

  async read({ config, record, folder }) {
    const options = open(config);
    const everything = await sdk.getSecrets(options);
    const byFolder = await sdk.getSecrets2(options, { foldersFilter: [folder] });
    const nothing = await sdk.getSecrets(options, ["AAAAAAAAAAAAAAAAAAAAAA"]);
    const linked = await sdk.getSecrets2(options, { recordsFilter: [record], requestLinks: true });
    return {
      app: everything.appData.title,
      all: everything.records.map((one) => one.recordUid),
      byFolder: byFolder.records.map((one) => one.recordUid),
      nothing: nothing.records.length,
      links: linked.records[0].links || [],
      byTitle: (await sdk.getSecretByTitle(options, "Orders DB")).recordUid,
      password: (await sdk.getNotationResults(options, `keeper://${record}/field/password`))[0],
      login: (await sdk.getNotationResults(options, "keeper://Orders DB/field/login"))[0],
    };
  },

  async update({ config, record }) {
    // The SDK keeps keys for the whole process, so one process is one device: it reads twice.
    const one = open(config);
    const two = one;
    const [mine, theirs] = [await only(one, record), await only(two, record)];
    mine.data.fields.find((item) => item.type === "password").value = ["changed"];
    await sdk.updateSecret(one, mine);
    theirs.data.fields.find((item) => item.type === "login").value = ["late"];
    const stale = await refused(() => sdk.updateSecret(two, theirs));
    const fresh = await only(two, record);
    fresh.data.fields.find((item) => item.type === "login").value = ["late"];
    await sdk.updateSecret(two, fresh);
    const found = await only(one, record);
    return [field(found, "password"), field(found, "login"), stale];
  },

  async transaction({ config, record }) {
    const options = open(config);
    const seen = [];
    const note = async () => seen.push(field(await only(options, record), "password"));
    const change = async (text) => {
      const found = await only(options, record);
      found.data.fields.find((item) => item.type === "password").value = [text];
      await sdk.updateSecret(options, found, "rotation");
    };
    await change("second");
    await note();
    await sdk.completeTransaction(options, record, true);
    await note();
    await change("third");
    await sdk.completeTransaction(options, record);
    await note();
    return [seen, await refused(() => sdk.completeTransaction(options, record))];
  },

  async records({ config, folder }) {
    const options = open(config);
    const uid = await sdk.createSecret(options, folder, secret("New"));
    const inner = await sdk.createFolder(options, { folderUid: folder }, "Inner");
    const second = await sdk.createSecret2(
      options, { folderUid: folder, subFolderUid: inner }, secret("Within")
    );
    const found = (await sdk.getSecrets(options)).records;
    const made = found.find((one) => one.recordUid === uid);
    const within = found.find((one) => one.recordUid === second);
    const deleted = await sdk.deleteSecret(options, [uid, "AAAAAAAAAAAAAAAAAAAAAA"]);
    const left = (await sdk.getSecrets(options)).records.map((one) => one.recordUid);
    return {
      title: made.data.title,
      inFolder: within.innerFolderUid === inner,
      codes: deleted.records.map((one) => one.responseCode),
      gone: !left.includes(uid),
    };
  },

  async folders({ config, folder }) {
    const options = open(config);
    const names = async () => (await sdk.getFolders(options)).map((one) => one.name).sort();
    const before = await names();
    const outer = await sdk.createFolder(options, { folderUid: folder }, "Outer");
    await names();
    const inner = await sdk.createFolder(
      options, { folderUid: folder, subFolderUid: outer }, "Inner"
    );
    await names();
    await sdk.updateFolder(options, inner, "Innermost");
    const made = await names();
    const full = await sdk.deleteFolder(options, [outer]);
    const forced = await sdk.deleteFolder(options, [outer], true);
    return {
      before, made, after: await names(),
      full: full.folders[0].responseCode,
      forced: forced.folders[0].responseCode,
    };
  },

  async files({ config, record }) {
    const options = open(config);
    const data = new Uint8Array(700000).map((_, at) => at % 251);
    const uid = await sdk.uploadFile(options, await only(options, record), {
      name: "c.bin", title: "Certificate", type: "x/y", data,
    });
    const found = await only(options, record);
    const back = await sdk.downloadFile(found.files[0]);
    await sdk.updateSecret(options, await only(options, record), undefined, [uid]);
    return {
      uid: found.files[0].fileUid === uid,
      name: found.files[0].data.name,
      same: Buffer.compare(Buffer.from(back), Buffer.from(data)) === 0,
      left: ((await only(options, record)).files || []).length,
    };
  },

  async cache({ config, hostname }) {
    const online = { ...open(config), queryFunction: sdk.cachingPostFunction };
    await sdk.getSecrets(online);
    const text = config.replace(hostname, "127.0.0.1:1");
    const offline = { ...open(text), queryFunction: sdk.cachingPostFunction };
    return (await sdk.getSecrets(offline)).records.map((one) => one.data.title);
  },

  async writes({ config, record, folder }) {
    const options = open(config);
    const found = await only(options, record);
    return [
      found.isEditable === true,
      await refused(() => sdk.updateSecret(options, found)),
      await refused(() => sdk.createSecret(options, folder, secret("No"))),
      await refused(() => sdk.createFolder(options, { folderUid: folder }, "No")),
      (await sdk.deleteSecret(options, [record])).records[0].responseCode,
    ];
  },
};

scenarios[process.argv[3]](given).then(
  (result) => process.stdout.write(JSON.stringify(result)),
  (error) => {
    process.stderr.write(`${error && error.stack ? error.stack : error}\n`);
    process.exitCode = 1;
  }
);
