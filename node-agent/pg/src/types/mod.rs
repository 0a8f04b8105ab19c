//! Type identifiers: PostgreSQL's own OIDs.

mod wire;

/// A data type, by the OID that PostgreSQL gives it.
///
/// User-defined enums get OIDs from 16384 on, from the metadata store. Travels as its name (`"int4"`), and a user's type
/// as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// A data type with its modifier: what a column declares. Travels as the type alone where there is no modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeRef {
    /// The type.
    pub id: TypeId,
    /// PostgreSQL's `atttypmod`: -1 for none; length + 4 for `varchar(n)` and `char(n)`; `((p << 16) | s) + 4` for
    /// `numeric(p, s)`; the digits for `time(p)` and `timestamp(p)`; packed fields and digits for `interval`.
    pub typmod: i32,
}

impl TypeRef {
    /// A type without a modifier.
    pub const fn plain(id: TypeId) -> Self {
        Self { id, typmod: -1 }
    }
}

impl From<TypeId> for TypeRef {
    fn from(id: TypeId) -> Self {
        Self::plain(id)
    }
}

impl TypeId {
    /// `InvalidOid`: no type, where a catalog row leaves one out.
    pub const NONE: TypeId = TypeId(0);

    /// The first OID of the users' own types.
    pub const FIRST_USER: TypeId = TypeId(16384);

    /// Whether this is a user's own type: an enum or an array of one.
    pub const fn is_user(self) -> bool {
        self.0 >= Self::FIRST_USER.0
    }

    /// Whether it is one of PostgreSQL's pseudo-types that stand for an argument's actual type.
    pub const fn is_polymorphic(self) -> bool {
        matches!(
            self,
            Self::ANYELEMENT
                | Self::ANYARRAY
                | Self::ANYNONARRAY
                | Self::ANYENUM
                | Self::ANYRANGE
                | Self::ANYMULTIRANGE
                | Self::ANYCOMPATIBLE
                | Self::ANYCOMPATIBLEARRAY
                | Self::ANYCOMPATIBLENONARRAY
                | Self::ANYCOMPATIBLERANGE
                | Self::ANYCOMPATIBLEMULTIRANGE
        )
    }

    /// Whether it is one of the `reg…` types, which are written by name.
    pub const fn is_named_oid(self) -> bool {
        self.is_oid() && self.0 != Self::OID.0
    }

    /// Whether it is `oidvector` or `int2vector`: arrays written with blanks between the elements.
    pub const fn is_vector(self) -> bool {
        matches!(self, Self::OIDVECTOR | Self::INT2VECTOR)
    }

    /// Whether it is `oid` or one of its `reg…` aliases, all of which are [`crate::Value::Oid`].
    pub const fn is_oid(self) -> bool {
        matches!(
            self,
            Self::OID
                | Self::REGPROC
                | Self::REGPROCEDURE
                | Self::REGOPER
                | Self::REGOPERATOR
                | Self::REGCLASS
                | Self::REGTYPE
                | Self::REGROLE
                | Self::REGNAMESPACE
                | Self::REGCOLLATION
                | Self::REGCONFIG
                | Self::REGDICTIONARY
        )
    }
}

macro_rules! type_ids {
    ($($name:ident = $oid:literal $(, array $array:ident = $array_oid:literal)?;)*) => {
        #[expect(missing_docs, reason = "each constant bears PostgreSQL's own name of the type")]
        impl TypeId {
            $(pub const $name: TypeId = TypeId($oid); $(pub const $array: TypeId = TypeId($array_oid);)?)*
        }
    };
}

type_ids! {
    BOOL = 16, array BOOL_ARRAY = 1000;
    BYTEA = 17, array BYTEA_ARRAY = 1001;
    CHAR = 18, array CHAR_ARRAY = 1002;
    NAME = 19, array NAME_ARRAY = 1003;
    INT8 = 20, array INT8_ARRAY = 1016;
    INT2 = 21, array INT2_ARRAY = 1005;
    INT4 = 23, array INT4_ARRAY = 1007;
    REGPROC = 24;
    TEXT = 25, array TEXT_ARRAY = 1009;
    OID = 26, array OID_ARRAY = 1028;
    JSON = 114, array JSON_ARRAY = 199;
    FLOAT4 = 700, array FLOAT4_ARRAY = 1021;
    FLOAT8 = 701, array FLOAT8_ARRAY = 1022;
    UNKNOWN = 705;
    BPCHAR = 1042, array BPCHAR_ARRAY = 1014;
    VARCHAR = 1043, array VARCHAR_ARRAY = 1015;
    DATE = 1082, array DATE_ARRAY = 1182;
    TIME = 1083, array TIME_ARRAY = 1183;
    TIMESTAMP = 1114, array TIMESTAMP_ARRAY = 1115;
    TIMESTAMPTZ = 1184, array TIMESTAMPTZ_ARRAY = 1185;
    INTERVAL = 1186, array INTERVAL_ARRAY = 1187;
    TIMETZ = 1266, array TIMETZ_ARRAY = 1270;
    NUMERIC = 1700, array NUMERIC_ARRAY = 1231;
    UUID = 2950, array UUID_ARRAY = 2951;
    JSONB = 3802, array JSONB_ARRAY = 3807;
    RECORD = 2249, array RECORD_ARRAY = 2287;
    VOID = 2278;
    INET = 869, array INET_ARRAY = 1041;
    CIDR = 650, array CIDR_ARRAY = 651;
    MACADDR = 829, array MACADDR_ARRAY = 1040;
    MACADDR8 = 774, array MACADDR8_ARRAY = 775;
    BIT = 1560, array BIT_ARRAY = 1561;
    VARBIT = 1562, array VARBIT_ARRAY = 1563;
    INT4RANGE = 3904, array INT4RANGE_ARRAY = 3905;
    INT8RANGE = 3926, array INT8RANGE_ARRAY = 3927;
    NUMRANGE = 3906, array NUMRANGE_ARRAY = 3907;
    DATERANGE = 3912, array DATERANGE_ARRAY = 3913;
    TSRANGE = 3908, array TSRANGE_ARRAY = 3909;
    TSTZRANGE = 3910, array TSTZRANGE_ARRAY = 3911;
    INT4MULTIRANGE = 4451, array INT4MULTIRANGE_ARRAY = 6150;
    NUMMULTIRANGE = 4532, array NUMMULTIRANGE_ARRAY = 6151;
    TSMULTIRANGE = 4533, array TSMULTIRANGE_ARRAY = 6152;
    TSTZMULTIRANGE = 4534, array TSTZMULTIRANGE_ARRAY = 6153;
    DATEMULTIRANGE = 4535, array DATEMULTIRANGE_ARRAY = 6155;
    INT8MULTIRANGE = 4536, array INT8MULTIRANGE_ARRAY = 6157;
    ANY = 2276;
    ANYARRAY = 2277;
    ANYELEMENT = 2283;
    ANYNONARRAY = 2776;
    ANYENUM = 3500;
    ANYCOMPATIBLE = 5077;
    ANYCOMPATIBLEARRAY = 5078;
    ANYCOMPATIBLENONARRAY = 5079;
    REGCLASS = 2205, array REGCLASS_ARRAY = 2210;
    REGTYPE = 2206, array REGTYPE_ARRAY = 2211;
    JSONPATH = 4072, array JSONPATH_ARRAY = 4073;
    REGPROCEDURE = 2202;
    REGOPER = 2203;
    REGOPERATOR = 2204;
    REGROLE = 4096;
    REGNAMESPACE = 4089;
    REGCOLLATION = 4191;
    REGCONFIG = 3734;
    REGDICTIONARY = 3769;
    INT2VECTOR = 22;
    OIDVECTOR = 30;
    CSTRING = 2275;
    INTERNAL = 2281;
    XID = 28;
    PG_NODE_TREE = 194;
    ACLITEM = 1033, array ACLITEM_ARRAY = 1034;
    ANYRANGE = 3831;
    ANYMULTIRANGE = 4537;
    ANYCOMPATIBLERANGE = 5080;
    ANYCOMPATIBLEMULTIRANGE = 4538;
}
