//! Compiles the .proto with protox: no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["iris/v1/iris.proto"], ["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    prost_build::Config::new()
        .bytes([
            ".iris.v1.Send.payload",
            ".iris.v1.Send.message_id",
            ".iris.v1.Deliver.payload",
            ".iris.v1.Deliver.message_id",
            ".iris.v1.Accepted.message_id",
            ".iris.v1.Rejected.message_id",
            ".iris.v1.Welcome.incarnation",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
